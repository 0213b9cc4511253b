//! What may reach a model and what may leave, as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Duration, Secret, Size};

/// What may reach a model, and what may leave. Without this section, what servers say of themselves is inspected for
/// hidden text and for orders to a model, and everything else passes as it is; with it, everything is inspected, on all
/// ways. See docs/concept/guard.md for what is found, what the profiles do and which surfaces there are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Guard {
    /// What happens where no rule says otherwise: `baseline` keeps credentials and hidden text from models and credentials
    /// from servers; `strict` also personal data and orders to a model; `none` nothing, so that rules alone decide.
    #[schemars(extend("default" = "baseline"))]
    pub(crate) profile: Option<Profile>,
    /// `enforce`, or `shadow`: what would be changed or stopped is counted and logged, and passes.
    #[schemars(extend("default" = "enforce"))]
    pub(crate) mode: Option<GuardMode>,
    /// What happens to what is found where. For each entity, and for each field, the first rule that is about a call and
    /// says something decides; then the profile does.
    pub(crate) rules: Vec<GuardRule>,
    /// Texts that are never reported, letter case aside, such as a support address.
    pub(crate) allow: Vec<String>,
    /// How sure a finding has to be.
    #[schemars(range(min = 0.0, max = 1.0), extend("default" = 0.5))]
    pub(crate) threshold: Option<f32>,
    /// Longest message that is inspected. A longer one is blocked.
    #[schemars(extend("default" = "16MiB"))]
    pub(crate) max_bytes: Option<Size>,
    /// For whom a pseudonym is one and the same, and can be opened again: each `session` (where there are none, each
    /// principal), each `principal`, or all of one `tenant`, that is of one identity provider.
    #[schemars(extend("default" = "principal"))]
    pub(crate) pseudonyms: Option<PseudonymScope>,
    /// 32 bytes in base64 or hex that pseudonyms and hashes are made with: `openssl rand -base64 32` makes some. Without it a
    /// key is made at the start, and pseudonyms and hashes are of use until the gateway ends, on this gateway alone.
    pub(crate) key: Option<Secret>,
    /// Another recogniser, which is asked about texts besides.
    pub(crate) recogniser: Option<Recogniser>,
}

/// A service with the interface of Microsoft Presidio's analyzer. Is posted `{"text", "language", "entities", "score_threshold"}`
/// and answers with `[{"entity_type", "start", "end", "score"}]`, places in characters. It is asked about the texts of a
/// message where a rule or the profile does something about what it finds, and about no text twice in a while.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recogniser {
    /// Its `https://` URL, or `http://` on this machine, such as `https://presidio.example/analyze`.
    pub(crate) url: String,
    /// Sent as a bearer token.
    #[serde(default)]
    pub(crate) token: Option<Secret>,
    /// PEM file with the authorities to trust instead of those of the system.
    #[serde(default)]
    pub(crate) ca: Option<String>,
    /// The language of the texts, as the service calls it.
    #[serde(default)]
    #[schemars(extend("default" = "en"))]
    pub(crate) language: Option<String>,
    /// What it is asked for, by its names, and what that is here. Without it, `PERSON` is `PERSON` and `LOCATION` is `ADDRESS`.
    #[serde(default)]
    pub(crate) entities: BTreeMap<String, Entity>,
    /// How sure it has to be. `guard.threshold` does not count for what it finds.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0), extend("default" = 0.6))]
    pub(crate) threshold: Option<f32>,
    /// How long all answers about one message may take, up to `8s`.
    #[serde(default)]
    #[schemars(extend("default" = "2s"))]
    pub(crate) timeout: Option<Duration>,
    /// How long the texts of one message may be together.
    #[serde(default)]
    #[schemars(extend("default" = "256KiB"))]
    pub(crate) max_bytes: Option<Size>,
    /// How many requests it is sent at the same time.
    #[serde(default)]
    #[schemars(range(min = 1, max = 256), extend("default" = 8))]
    pub(crate) concurrency: Option<u16>,
    /// What happens to a message that it could not be asked about: `block`, or `pass` with what the guard finds by itself.
    #[serde(default)]
    #[schemars(extend("default" = "block"))]
    pub(crate) on_failure: Option<OnFailure>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnFailure {
    Block,
    Pass,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    Baseline,
    Strict,
    None,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GuardMode {
    Enforce,
    Shadow,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PseudonymScope {
    Session,
    Principal,
    Tenant,
}

/// What happens to what is found somewhere. It is about what fits all of `groups`, `roles`, `principals`, `policies`,
/// `servers`, `tools` and `direction`, and not `unless`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GuardRule {
    /// What it is called in refusals and logs.
    pub(crate) name: String,
    /// Only callers in one of these groups.
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    /// Only callers in a group with one of these roles (`policy.roles`).
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    /// Only these callers, by id: `user:<issuer>#<subject>`, `key:<name>`, `cert:<fingerprint>`, `spiffe://…` or `anonymous`.
    #[serde(default)]
    pub(crate) principals: Vec<String>,
    /// Only calls that one of these policies permits, by the `@id` that it has in `policy.files`.
    #[serde(default)]
    pub(crate) policies: Vec<String>,
    /// Only these servers.
    #[serde(default)]
    pub(crate) servers: Vec<String>,
    /// Only calls of these tools: `SERVER/NAME` by the server's own name, with `*` for any characters.
    #[serde(default)]
    pub(crate) tools: Vec<String>,
    /// `to-client` is what servers say, `to-server` what clients do; both when not given.
    #[serde(default)]
    pub(crate) direction: Option<Direction>,
    /// Where it does not hold although all else fits.
    #[serde(default)]
    pub(crate) unless: Option<GuardException>,
    /// What it is about: `EMAIL`, `IBAN` and so on, or `credentials`, `personal` and `all`.
    #[serde(default)]
    pub(crate) entities: Vec<Entity>,
    /// Only in these fields, as JSON paths into the data of a result or the arguments of a call, such as
    /// `$.records[*].email` or `$..iban`; a document inside a text has a `$` of its own. Without `entities`, the whole field is meant, whatever it holds.
    #[serde(default)]
    pub(crate) fields: Vec<String>,
    /// Only these fields pass, as JSON paths; everything else in the data is left out.
    #[serde(default)]
    pub(crate) only: Vec<String>,
    /// What happens. `restore` is for `to-server`: the tool gets the value behind a pseudonym.
    #[serde(default)]
    pub(crate) action: Option<Action>,
}

/// Where a rule does not hold: whatever fits all that is given.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GuardException {
    /// Callers in one of these groups.
    pub(crate) groups: Vec<String>,
    /// Callers in a group with one of these roles (`policy.roles`).
    pub(crate) roles: Vec<String>,
    /// These callers, by id.
    pub(crate) principals: Vec<String>,
    /// Calls that one of these policies permits.
    pub(crate) policies: Vec<String>,
    /// These servers.
    pub(crate) servers: Vec<String>,
    /// Calls of these tools, `SERVER/NAME` with `*`.
    pub(crate) tools: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    ToClient,
    ToServer,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum Entity {
    #[serde(rename = "EMAIL")]
    Email,
    #[serde(rename = "PHONE")]
    Phone,
    #[serde(rename = "IBAN")]
    Iban,
    #[serde(rename = "CREDIT_CARD")]
    CreditCard,
    #[serde(rename = "IP_ADDRESS")]
    IpAddress,
    #[serde(rename = "NATIONAL_ID")]
    NationalId,
    #[serde(rename = "PASSPORT")]
    Passport,
    #[serde(rename = "DATE_OF_BIRTH")]
    DateOfBirth,
    #[serde(rename = "SECRET")]
    Secret,
    #[serde(rename = "PRIVATE_KEY")]
    PrivateKey,
    #[serde(rename = "JWT")]
    Jwt,
    #[serde(rename = "URL_PASSWORD")]
    UrlPassword,
    #[serde(rename = "PASSWORD")]
    Password,
    #[serde(rename = "PERSON")]
    Person,
    #[serde(rename = "ADDRESS")]
    Address,
    #[serde(rename = "INJECTION")]
    Injection,
    #[serde(rename = "HIDDEN_TEXT")]
    HiddenText,
    #[serde(rename = "credentials")]
    Credentials,
    #[serde(rename = "personal")]
    Personal,
    #[serde(rename = "all")]
    All,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Allow,
    Pseudonym,
    Partial,
    Mask,
    Hash,
    Redact,
    Drop,
    Hold,
    Block,
    Restore,
}

/// Roles and the groups that have them.
pub(crate) type Roles = BTreeMap<String, Vec<String>>;
