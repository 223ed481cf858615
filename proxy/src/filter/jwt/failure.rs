use std::fmt;

/// What is wrong with a request's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is none.
    Missing,
    /// There are more than are looked at.
    TooMany,
    /// It is not one.
    Form,
    /// Its header is not Base64url.
    HeaderCoding,
    /// Its header is not an object, or names a member twice.
    HeaderJson,
    /// Its header has no algorithm.
    NoAlgorithm,
    /// Its algorithm is not known here.
    Algorithm,
    /// It names its key by something else than a text.
    KeyId,
    /// It asks for an extension that is not known here.
    Critical,
    /// Its payload is not Base64url.
    PayloadCoding,
    /// Its payload is not an object, or names a member twice.
    PayloadJson,
    /// This claim is not a text.
    Text(&'static str),
    /// This claim is not a number.
    Time(&'static str),
    /// This claim is no time since 1970.
    TimeRange(&'static str),
    /// Its audience is neither a text nor a list of texts.
    AudienceForm,
    /// Its signature is not Base64url.
    SignatureCoding,
    /// No provider issues it.
    UnknownIssuer,
    /// It is about somebody who is not accepted.
    Subject,
    /// It is not valid yet.
    NotYetValid,
    /// It is too old.
    Expired,
    /// It has no end.
    NoEnd,
    /// It lives too long.
    Lifetime,
    /// It is for somebody else.
    Audience,
    /// None of the provider's keys is the one it names.
    NoKey,
    /// It is not signed by the provider.
    Signature,
    /// The provider's keys could not be fetched.
    NoKeys,
}

/// For the client, in Envoy's words.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Missing => "Jwt is missing",
            Self::TooMany => "There are too many Jwts",
            Self::Form => "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
            Self::HeaderCoding => "Jwt header is an invalid Base64url encoded",
            Self::HeaderJson => "Jwt header is an invalid JSON",
            Self::NoAlgorithm => "Jwt header [alg] field is required and must be a string",
            Self::Algorithm => "Jwt header [alg] is not supported",
            Self::KeyId => "Jwt header [kid] field is not a string",
            Self::Critical => "Jwt header [crit] is not supported",
            Self::PayloadCoding => "Jwt payload is an invalid Base64url encoded",
            Self::PayloadJson => "Jwt payload is an invalid JSON",
            Self::Text(claim) => return write!(f, "Jwt payload [{claim}] field is not a string"),
            Self::Time(claim) => return write!(f, "Jwt payload [{claim}] field is not an integer"),
            Self::TimeRange(claim) => return write!(f, "Jwt payload [{claim}] field is not a positive 64 bit integer"),
            Self::AudienceForm => "Jwt payload [aud] field is not a string or string list",
            Self::SignatureCoding => "Jwt signature is an invalid Base64url encoded",
            Self::UnknownIssuer => "Jwt issuer is not configured",
            Self::NotYetValid => "Jwt not yet valid",
            Self::Expired => "Jwt is expired",
            Self::Audience => "Audiences in Jwt are not allowed",
            Self::NoKey => "Jwks doesn't have key to match kid or alg from Jwt",
            // Envoy has one sentence for these; what it was is told to operators.
            Self::Signature | Self::Subject | Self::NoEnd | Self::Lifetime => "Jwt verification fails",
            Self::NoKeys => "Jwks remote fetch is failed",
        };
        f.write_str(text)
    }
}

impl Failure {
    /// For operators: more than the client is told in Envoy's words.
    pub fn reason(self) -> String {
        let more = [
            (Self::Signature, "the token is not signed by its provider"),
            (Self::Subject, "the token's subject is not one that its provider may speak of"),
            (Self::NoEnd, "the token has no end"),
            (Self::Lifetime, "the token lives too long"),
        ];
        more.into_iter().find(|(failure, _)| *failure == self).map_or_else(|| self.to_string(), |(_, reason)| reason.to_owned())
    }
}
