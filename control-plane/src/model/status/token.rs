use crate::model::mesh::Mesh;
use crate::model::status::Condition;
use crate::model::token::RequestAuthentication;

/// Whether tokens are looked at wherever it is meant to be so, by its own words. Istio says nothing of the kind; these are ours.
pub fn of_tokens(mesh: &Mesh, one: &RequestAuthentication) -> Vec<Condition> {
    if one.is_broken {
        let message = "it cannot be read, see the log of the control plane; until it can, no request passes where it may be for".to_owned();
        return vec![Condition::bad("Accepted", "Invalid", message)];
    }
    vec![Condition::good("Accepted", "Accepted"), enforced(mesh, one)]
}

fn enforced(mesh: &Mesh, one: &RequestAuthentication) -> Condition {
    let mut selected = mesh.workloads().filter(|workload| one.concerns(workload)).peekable();
    if selected.peek().is_none() {
        return Condition::bad("Enforced", "NoWorkloads", "there is no workload that it is for".to_owned());
    }
    let conflict = selected.find_map(|workload| {
        let conflicts = mesh.believed(workload).conflicts;
        conflicts.into_iter().find(|(name, _)| **name == one.name).map(|(_, issuer)| (workload, issuer))
    });
    match conflict {
        None => Condition::good("Enforced", "Enforced"),
        Some((workload, issuer)) => {
            let message = format!(
                "another RequestAuthentication, which comes first, has other keys or another outputPayloadToHeader for the issuer {issuer:?} \
                 at {}: only its keys count there",
                workload.name
            );
            Condition::bad("Enforced", "Conflicted", message)
        }
    }
}
