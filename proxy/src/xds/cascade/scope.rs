/// Which types are asked for as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// All clusters (`cds_config`).
    pub clusters: bool,
    /// All listeners (`lds_config`).
    pub listeners: bool,
    /// Hosts and their addresses, for the proxy's DNS.
    pub names: bool,
}
