use std::fs;

use super::*;
use crate::model::authentication::Mode;
use crate::model::settings::OutboundMode;

const CART: &str = "{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {ports: [{port: 80}]}}\n";
const TILL: &str = "{apiVersion: v1, kind: Service, metadata: {name: till, namespace: shop}, spec: {ports: [{port: 80}]}}\n";

/// A folder that is removed with this.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ninon-files-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn files(&self) -> Files {
        Files::new(vec![self.0.clone()])
    }

    fn told(&self, faults: &[FileFault]) -> Vec<String> {
        let prefix = format!("{}/", self.0.display());
        faults.iter().map(|fault| fault.to_string().replace(&prefix, "")).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn changed(found: &Found) -> Vec<String> {
    found.changes.iter().map(|(key, written)| format!("{}{key}", if written.is_some() { "+" } else { "-" })).collect()
}

#[test]
fn files_of_folders_below_are_read_and_hidden_ones_are_not() {
    let folder = Folder::new("below");
    folder.write("a/b/cart.yaml", CART);
    folder.write("..data/till.yaml", TILL);
    folder.write("notes.txt", TILL);
    let mut files = folder.files();
    let found = files.look();
    assert_eq!((changed(&found), found.news), (vec!["+Service shop/cart".to_owned()], vec![]));
    assert_eq!(files.look(), Found::default());
    fs::remove_file(folder.0.join("a/b/cart.yaml")).unwrap();
    assert_eq!(changed(&files.look()), ["-Service shop/cart"]);
}

#[test]
fn one_bad_document_hides_no_other_and_the_fault_names_file_line_and_field() {
    let folder = Folder::new("bad");
    folder.write("shop.yaml", &format!("---\n{CART}---\napiVersion: v1\nkind: Service\nmetadata: {{name: bad, namespace: shop}}\nspec:\n  ports:\n  - port: 0\n---\nkind: [\n---\n{TILL}"));
    let mut files = folder.files();
    let found = files.look();
    assert_eq!(changed(&found), ["+Service shop/cart", "+Service shop/till"]);
    let told = folder.told(&found.news);
    assert_eq!(told[0], "shop.yaml:9: Service shop/bad: spec.ports[0].port: 0 is not a port: 1 to 65535");
    assert!(told[1].starts_with("shop.yaml:1"), "{told:?}");
    assert_eq!(files.look(), Found::default(), "the same fault is news once");
}

#[test]
fn what_was_good_stays_while_its_document_is_wrong() {
    let folder = Folder::new("stays");
    folder.write("shop.yaml", &format!("{CART}---\n{TILL}"));
    let mut files = folder.files();
    files.look();
    // Half of a document, as an editor may leave it for a moment.
    folder.write("shop.yaml", &format!("{{apiVersion: v1, kind: Serv\n---\n{TILL}"));
    let found = files.look();
    assert_eq!((changed(&found), found.news.len()), (vec![], 1));
    // A wrong field.
    folder.write("shop.yaml", &format!("{}---\n{TILL}", CART.replace("80", "-1")));
    assert_eq!(changed(&files.look()), Vec::<String>::new());
    // The other object is gone while this one is wrong.
    folder.write("shop.yaml", &CART.replace("80", "-1"));
    assert_eq!(changed(&files.look()), ["-Service shop/till"]);
    folder.write("shop.yaml", &CART.replace("80", "81"));
    assert_eq!(changed(&files.look()), ["+Service shop/cart"]);
    assert!(files.faults().is_empty());
}

#[test]
fn an_object_that_is_there_twice_is_the_first_one() {
    let folder = Folder::new("twice");
    folder.write("a.yaml", CART);
    folder.write("b.yaml", &CART.replace("80", "81"));
    let mut files = folder.files();
    let found = files.look();
    assert_eq!(changed(&found), ["+Service shop/cart"]);
    let prefix = folder.0.display();
    assert_eq!(
        folder.told(&found.news),
        [format!("b.yaml:1: Service shop/cart: it is in {prefix}/a.yaml:1 already, which stays").replace(&format!("{prefix}/"), "")]
    );
    fs::remove_file(folder.0.join("a.yaml")).unwrap();
    assert_eq!(changed(&files.look()), ["+Service shop/cart"]);
}

#[test]
fn a_folder_that_is_not_there_is_a_fault_and_takes_nothing_away() {
    let folder = Folder::new("gone");
    folder.write("shop/cart.yaml", CART);
    let mut files = Files::new(vec![folder.0.join("shop")]);
    files.look();
    fs::remove_dir_all(folder.0.join("shop")).unwrap();
    let found = files.look();
    assert_eq!(found.news.len(), 1);
    assert_eq!(changed(&found), Vec::<String>::new());
}

#[test]
fn a_link_to_a_folder_above_ends() {
    let folder = Folder::new("loop");
    folder.write("a/cart.yaml", CART);
    std::os::unix::fs::symlink(&folder.0, folder.0.join("a/up")).unwrap();
    let found = folder.files().look();
    assert_eq!(changed(&found), ["+Service shop/cart"]);
    assert_eq!(found.news.len(), 1);
}

#[test]
fn a_list_is_its_objects_and_a_fault_names_the_line_in_it() {
    let folder = Folder::new("list");
    let items = format!("- {}- {}", CART, TILL.replace("port: 80", "port: 0"));
    folder.write("all.yaml", &format!("apiVersion: v1\nkind: List\nitems:\n{items}"));
    let found = folder.files().look();
    assert_eq!(changed(&found), ["+Service shop/cart"]);
    assert_eq!(folder.told(&found.news), ["all.yaml:5: Service shop/till: spec.ports[0].port: 0 is not a port: 1 to 65535"]);
}

#[test]
fn a_policy_that_is_wrong_from_the_beginning_is_not_passed_over() {
    let folder = Folder::new("policies");
    let policy = |name: &str, spec: &str| {
        format!(
            "{{apiVersion: ninon.dev/v1alpha1, kind: AuthorizationPolicy, metadata: {{name: {name}, namespace: shop}}, spec: {spec}}}\n"
        )
    };
    folder.write("a.yaml", &policy("a", "{action: DENY, rule: []}"));
    folder.write("rates.yaml", "{apiVersion: ninon.dev/v1alpha1, kind: TrafficPolicy, metadata: {name: a}, spec: {mtl: {}}}\n");
    folder.write("peers.yaml", "{apiVersion: ninon.dev/v1alpha1, kind: PeerAuthentication, metadata: {name: a}, spec: {mtl: {}}}\n");
    folder.write("tokens.yaml", "{apiVersion: ninon.dev/v1alpha1, kind: RequestAuthentication, metadata: {name: a}, spec: {jwt: []}}\n");
    let mut files = folder.files();
    let found = files.look();
    let kinds = ["+PeerAuthentication default/a", "+RequestAuthentication default/a", "+AuthorizationPolicy shop/a"];
    assert_eq!(changed(&found), kinds, "and nothing instead of other kinds");
    assert!(matches!(&found.changes[0].1.as_ref().unwrap().object, Object::PeerAuthentication(all) if all.mode == Some(Mode::Strict)));
    assert!(matches!(&found.changes[1].1.as_ref().unwrap().object, Object::RequestAuthentication(tokens) if tokens.is_broken));
    assert!(matches!(&found.changes[2].1.as_ref().unwrap().object, Object::AuthorizationPolicy(policy) if policy.is_broken));
    assert_eq!(folder.told(&found.news)[0], "a.yaml:1: AuthorizationPolicy shop/a: spec.rule: there is no such field");
    folder.write("b.yaml", &policy("b", "{action: DENY, rule: []}"));
    assert_eq!(changed(&files.look()), ["+AuthorizationPolicy shop/b"], "nor one that comes later and was never good");
    folder.write("a.yaml", &policy("a", "{action: DENY, rules: []}"));
    let found = files.look();
    assert!(matches!(&found.changes[0].1.as_ref().unwrap().object, Object::AuthorizationPolicy(policy) if !policy.is_broken));
    folder.write("a.yaml", &policy("a", "{action: DENY, rule: []}"));
    assert_eq!(changed(&files.look()), Vec::<String>::new(), "what was good before stays");
    fs::remove_file(folder.0.join("a.yaml")).unwrap();
    assert_eq!(changed(&files.look()), ["-AuthorizationPolicy shop/a"]);
}

#[test]
fn an_object_of_others_in_a_file_keeps_none_of_ours() {
    let folder = Folder::new("foreign");
    let foreign = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}\n---\n";
    folder.write("all.yaml", &format!("{foreign}{CART}"));
    let mut files = folder.files();
    assert_eq!(changed(&files.look()), ["+Service shop/cart"]);
    folder.write("all.yaml", foreign);
    assert_eq!(changed(&files.look()), ["-Service shop/cart"]);
}

#[test]
fn a_policy_for_gateways_stands_in_nobodys_way() {
    let folder = Folder::new("gateways");
    for (kind, spec) in
        [("RequestAuthentication", "{targetRef: {kind: Gateway, name: a}}"), ("AuthorizationPolicy", "{targetRefs: [{name: a}]}")]
    {
        let name = kind.to_lowercase();
        folder.write(
            &format!("{name}.yaml"),
            &format!("{{apiVersion: security.istio.io/v1, kind: {kind}, metadata: {{name: {name}, namespace: shop}}, spec: {spec}}}\n"),
        );
    }
    let mut files = folder.files();
    assert_eq!(changed(&files.look()), Vec::<String>::new());
    assert_eq!(files.faults().len(), 2);
    assert!(files.faults().iter().all(|fault| !fault.may_be_policy));
}

#[test]
fn settings_of_the_mesh_that_cannot_be_read_open_nothing() {
    let folder = Folder::new("settings");
    for (spec, outbound) in [("{outbound: REGISTRY}", OutboundMode::RegistryOnly), ("{retries: many}", OutboundMode::AllowAny)] {
        folder
            .write("mesh.yaml", &format!("{{apiVersion: ninon.dev/v1alpha1, kind: MeshConfig, metadata: {{name: mesh}}, spec: {spec}}}\n"));
        let mut files = folder.files();
        let found = files.look();
        let object = &found.changes[0].1.as_ref().unwrap().object;
        assert!(matches!(object, Object::MeshConfig(settings) if settings.outbound == outbound), "{object:?}");
        assert!(files.faults().iter().all(|fault| fault.may_be_policy), "with it nothing starts");
    }
}

#[test]
fn what_cannot_be_told_may_be_a_policy() {
    let folder = Folder::new("unread");
    let foreign = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}\n---\n{image: values of something else}\n";
    folder.write("foreign.yaml", foreign);
    folder.write("policy.yaml", "{apiVersion: ninon.dev/v1alpha1, kind: AuthorizationPolicy, metadata: {name: '?'}, spec: {}}\n");
    folder.write("others.yaml", "{apiVersion: policy.linkerd.io/v1beta1, kind: AuthorizationPolicy, metadata: {name: '?'}, spec: {}}\n");
    folder.write("text.yaml", "a: [\n");
    let mut files = folder.files();
    files.look();
    let told = |may_be: bool| -> Vec<String> {
        let faults = files.faults().iter().filter(|fault| fault.may_be_policy == may_be);
        faults.map(|fault| fault.path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(told(true), ["policy.yaml", "text.yaml"]);
    assert_eq!(told(false).into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(["foreign.yaml".to_owned(), "others.yaml".to_owned()]));
}
