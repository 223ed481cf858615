//! A disk that is full, for real: a limit on the size of files, and a small file system of its own.

use super::*;

/// The process whose disk is full. Without a folder in the environment it is no test.
#[tokio::test]
#[ignore = "run by the tests below, in a process of its own"]
#[expect(clippy::print_stdout, reason = "the figure is the point")]
async fn a_process_on_a_small_disk() {
    let Some(folder) = std::env::var_os("NINON_FULL_FOLDER").map(PathBuf::from) else { return };
    let ballast = folder.join("ballast");
    std::fs::write(&ballast, vec![1; 200_000]).unwrap();
    let store = Store::embedded(&folder, Limits::default()).await.unwrap();
    let mut acknowledged = Model::new();
    let error = loop {
        let name = format!("s{}", acknowledged.len());
        let mut object = service(&name, 80);
        object["metadata"]["annotations"] = json!({"long": "x".repeat(50_000)});
        let intent = Intent { key: key(&name), wanted: Some(object.clone()), expected: Expected::Any };
        match write(&store, vec![intent]).await {
            Ok(_) => acknowledged.insert(key(&name), object),
            Err(error) => break error,
        };
        assert!(acknowledged.len() < 1000, "the disk does not fill");
    };
    let StoreError::Disk(problem) = &error else { panic!("{error:?}") };
    assert!(problem.contains("No space left") || problem.contains("File too large"), "{problem}");
    assert!(acknowledged.len() > 3, "{}", acknowledged.len());
    assert_eq!(model_of(&store), acknowledged, "reads go on");
    assert_eq!(usize::try_from(store.latest()).unwrap(), acknowledged.len());
    // It is still full, and nothing is half-written.
    let refused = write(&store, vec![put("more", 1), Intent { wanted: Some(json!({"x": "y".repeat(300_000)})), ..put("much", 2) }]).await;
    assert!(matches!(refused, Err(StoreError::Disk(_))), "{refused:?}");
    assert_eq!(model_of(&store), acknowledged);
    // Once there is room, writes go on without a restart.
    std::fs::remove_file(&ballast).unwrap();
    let unlimited = rustix::process::Rlimit { current: None, maximum: None };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, unlimited).unwrap();
    write(&store, vec![put("more", 1)]).await.unwrap();
    acknowledged.insert(key("more"), service("more", 1));
    assert_eq!(model_of(&store), acknowledged);
    store.close().await;
    let store = Store::embedded(&folder, Limits::default()).await.unwrap();
    assert_eq!(model_of(&store), acknowledged, "and all is there after a restart");
    assert_eq!(store.history(None, None, 1000).await.unwrap().len(), acknowledged.len());
    println!("full after {} writes: {error}", acknowledged.len() - 1);
}

/// Runs it after some words of the shell, and gives back what it said.
fn after(shell: &mut Command, words: &str) -> String {
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.0).unwrap();
    let test = "store::embedded::tests::full::a_process_on_a_small_disk";
    let script = format!("{words} && exec \"$TEST\" --exact {test} --ignored --nocapture");
    let shell = shell.args(["-c", &script]).env("TEST", std::env::current_exe().unwrap()).env("NINON_FULL_FOLDER", &folder.0);
    let output = shell.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    said
}

#[test]
fn a_file_that_may_not_grow_refuses_writes_and_goes_on_reading() {
    // Soft, so that it can be lifted; the signal would end the process.
    let said = after(&mut Command::new("sh"), "trap '' XFSZ && ulimit -S -f 4096");
    assert!(said.contains("File too large"), "{said}");
}

#[test]
#[expect(clippy::print_stderr, reason = "that something was left out must be seen")]
fn a_full_disk_refuses_writes_and_goes_on_reading() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: a file system of its own needs root");
        return;
    }
    // The file system is gone with the process.
    let shell = &mut Command::new("unshare");
    let said = after(shell.args(["--mount", "sh"]), "mount -t tmpfs -o size=4m none \"$NINON_FULL_FOLDER\"");
    assert!(said.contains("No space left"), "{said}");
}
