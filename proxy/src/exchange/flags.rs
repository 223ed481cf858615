use std::fmt;

/// Why an answer is not simply the upstream's.
///
/// Source: envoyproxy.io, "Access logging", `%RESPONSE_FLAGS%`; the error types are those of RFC 9209, section 2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ResponseFlag {
    /// No healthy endpoint.
    NoHealthyUpstream,
    /// The connection could not be made.
    UpstreamConnectionFailure,
    /// A limit of the cluster was reached.
    UpstreamOverflow,
    /// No route.
    NoRouteFound,
    /// The cluster does not exist.
    NoClusterFound,
    /// All retries used up, or connect attempts.
    UpstreamRetryLimitExceeded,
    /// The upstream took too long.
    UpstreamRequestTimeout,
    /// The upstream's connection ended.
    UpstreamConnectionTermination,
    /// The upstream reset the stream.
    UpstreamRemoteReset,
    /// We reset the stream to the upstream.
    LocalReset,
    /// The client's connection ended.
    DownstreamConnectionTermination,
    /// The client broke the protocol.
    DownstreamProtocolError,
    /// The upstream broke the protocol.
    UpstreamProtocolError,
    /// Nothing moved for too long.
    StreamIdleTimeout,
    /// The stream lived too long.
    DurationTimeout,
    /// The connection lived too long.
    MaxConnectionDuration,
    /// The name could not be resolved.
    DnsResolutionFailed,
    /// A limit of the listener was reached.
    OverloadManager,
    /// The client reset the stream.
    DownstreamRemoteReset,
    /// A service outside denied it, or did not answer.
    UnauthorizedExternalService,
}

impl ResponseFlag {
    /// All, in the order Envoy writes them.
    pub const ALL: [Self; 20] = [
        Self::NoHealthyUpstream,
        Self::UpstreamConnectionFailure,
        Self::UpstreamOverflow,
        Self::NoRouteFound,
        Self::NoClusterFound,
        Self::UpstreamRetryLimitExceeded,
        Self::UpstreamRequestTimeout,
        Self::UpstreamConnectionTermination,
        Self::UpstreamRemoteReset,
        Self::LocalReset,
        Self::DownstreamConnectionTermination,
        Self::DownstreamProtocolError,
        Self::UpstreamProtocolError,
        Self::StreamIdleTimeout,
        Self::DurationTimeout,
        Self::MaxConnectionDuration,
        Self::DnsResolutionFailed,
        Self::OverloadManager,
        Self::DownstreamRemoteReset,
        Self::UnauthorizedExternalService,
    ];

    /// The short name.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoHealthyUpstream => "UH",
            Self::UpstreamConnectionFailure => "UF",
            Self::UpstreamOverflow => "UO",
            Self::NoRouteFound => "NR",
            Self::NoClusterFound => "NC",
            Self::UpstreamRetryLimitExceeded => "URX",
            Self::UpstreamRequestTimeout => "UT",
            Self::UpstreamConnectionTermination => "UC",
            Self::UpstreamRemoteReset => "UR",
            Self::LocalReset => "LR",
            Self::DownstreamConnectionTermination => "DC",
            Self::DownstreamProtocolError => "DPE",
            Self::UpstreamProtocolError => "UPE",
            Self::StreamIdleTimeout => "SI",
            Self::DurationTimeout => "DT",
            Self::MaxConnectionDuration => "DT",
            Self::DnsResolutionFailed => "DF",
            Self::OverloadManager => "OM",
            Self::DownstreamRemoteReset => "DR",
            Self::UnauthorizedExternalService => "UAEX",
        }
    }

    /// The long name (`%RESPONSE_FLAGS_LONG%`).
    pub fn name(self) -> &'static str {
        match self {
            Self::NoHealthyUpstream => "NoHealthyUpstream",
            Self::UpstreamConnectionFailure => "UpstreamConnectionFailure",
            Self::UpstreamOverflow => "UpstreamOverflow",
            Self::NoRouteFound => "NoRouteFound",
            Self::NoClusterFound => "NoClusterFound",
            Self::UpstreamRetryLimitExceeded => "UpstreamRetryLimitExceeded",
            Self::UpstreamRequestTimeout => "UpstreamRequestTimeout",
            Self::UpstreamConnectionTermination => "UpstreamConnectionTermination",
            Self::UpstreamRemoteReset => "UpstreamRemoteReset",
            Self::LocalReset => "LocalReset",
            Self::DownstreamConnectionTermination => "DownstreamConnectionTermination",
            Self::DownstreamProtocolError => "DownstreamProtocolError",
            Self::UpstreamProtocolError => "UpstreamProtocolError",
            Self::StreamIdleTimeout => "StreamIdleTimeout",
            Self::DurationTimeout | Self::MaxConnectionDuration => "DurationTimeout",
            Self::DnsResolutionFailed => "DnsResolutionFailed",
            Self::OverloadManager => "OverloadManagerTerminated",
            Self::DownstreamRemoteReset => "DownstreamRemoteReset",
            Self::UnauthorizedExternalService => "UnauthorizedExternalService",
        }
    }

    fn bit(self) -> u32 {
        Self::ALL.iter().zip(0u32..).find(|(flag, _)| **flag == self).map_or(0, |(_, index)| 1 << index)
    }
}

/// A set of response flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseFlags(u32);

impl ResponseFlags {
    /// Adds one.
    pub fn set(&mut self, flag: ResponseFlag) {
        self.0 |= flag.bit();
    }

    /// Whether it is among them.
    pub fn has(self, flag: ResponseFlag) -> bool {
        self.0 & flag.bit() != 0
    }

    /// None at all.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are set.
    pub fn iter(self) -> impl Iterator<Item = ResponseFlag> {
        ResponseFlag::ALL.into_iter().filter(move |flag| self.has(*flag))
    }
}

/// Short names, joined by commas; `-` for none.
impl fmt::Display for ResponseFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        for (index, flag) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(flag.code())?;
        }
        Ok(())
    }
}
