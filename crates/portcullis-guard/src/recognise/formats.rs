//! Credentials that say whose they are: what they begin with, and what may follow.
//!
//! One row for each form, as its issuer documents or shows it. Words that one may begin with are found by `sweep`, then
//! compared here. What it leaves out: forms without anything of their own, which `assigned` finds by name.

use foldhash::{HashMap, HashMapExt};

use super::Subject;
use super::secret::{entropy, is_placeholder};
use crate::Entity;
use crate::text::class;

/// Characters that may follow, as bits.
mod of {
    pub(super) const DIGIT: u16 = 1;
    pub(super) const LOWER_HEX: u16 = 2;
    pub(super) const UPPER_HEX: u16 = 4;
    pub(super) const LOWER: u16 = 8 | LOWER_HEX;
    pub(super) const UPPER: u16 = 16 | UPPER_HEX;
    pub(super) const UNDERSCORE: u16 = 32;
    pub(super) const HYPHEN: u16 = 64;
    pub(super) const DOT: u16 = 128;
    pub(super) const SLASH: u16 = 256;
    pub(super) const EQUALS: u16 = 512;
    pub(super) const HEX: u16 = DIGIT | LOWER_HEX | UPPER_HEX;
    pub(super) const ALNUM: u16 = DIGIT | LOWER | UPPER;
    pub(super) const TOKEN: u16 = ALNUM | UNDERSCORE | HYPHEN;
    pub(super) const DOTTED: u16 = TOKEN | DOT | EQUALS;
    pub(super) const BASE64: u16 = ALNUM | SLASH | EQUALS;
    pub(super) const CAPITALS: u16 = DIGIT | UPPER;

    pub(super) fn is(byte: u8, set: u16) -> bool {
        let class = match byte {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' => LOWER_HEX,
            b'g'..=b'z' => 8,
            b'A'..=b'F' => UPPER_HEX,
            b'G'..=b'Z' => 16,
            b'_' => UNDERSCORE,
            b'-' => HYPHEN,
            b'.' => DOT,
            b'/' | b'+' => SLASH,
            b'=' => EQUALS,
            _ => 0,
        };
        class & set != 0
    }
}

/// One form: what it begins with, what follows and how much of it, whose it is.
struct Format(&'static str, u16, usize, usize, &'static str);

const ANY: usize = 4096;

#[rustfmt::skip]
const FORMATS: &[Format] = &[
    Format("A3-", of::CAPITALS | of::HYPHEN, 31, 34, "1password"),
    Format("ops_eyJ", of::BASE64, 200, ANY, "1password"),
    Format("p8e-", of::ALNUM, 32, 32, "adobe"),
    Format("AGE-SECRET-KEY-1", of::CAPITALS, 58, 58, "age"),
    Format("pat", of::ALNUM | of::DOT, 79, 79, "airtable"),
    Format("LTAI", of::ALNUM, 12, 24, "alibaba"),
    Format("sk-ant-", of::TOKEN, 60, 140, "anthropic"),
    Format("AKCp", of::ALNUM, 60, 80, "artifactory"),
    Format("cmVmd", of::ALNUM, 59, 59, "artifactory"),
    Format("ATATT3", of::TOKEN | of::EQUALS, 180, 200, "atlassian"),
    Format("ATCTT3", of::TOKEN | of::EQUALS, 180, 200, "atlassian"),
    Format("ATBB", of::ALNUM, 32, 32, "bitbucket"),
    Format("sc_", of::DOTTED | of::SLASH, 55, 200, "authress"),
    Format("ext_", of::DOTTED | of::SLASH, 55, 200, "authress"),
    Format("scauth_", of::DOTTED | of::SLASH, 55, 200, "authress"),
    Format("authress_", of::DOTTED | of::SLASH, 55, 200, "authress"),
    Format("AKIA", of::CAPITALS, 16, 16, "aws"),
    Format("ASIA", of::CAPITALS, 16, 16, "aws"),
    Format("ABIA", of::CAPITALS, 16, 16, "aws"),
    Format("ACCA", of::CAPITALS, 16, 16, "aws"),
    Format("A3T", of::CAPITALS, 17, 17, "aws"),
    Format("ABSK", of::BASE64, 109, 271, "aws"),
    Format("bedrock-api-key-", of::BASE64, 28, ANY, "aws"),
    Format("CLOJARS_", of::ALNUM, 60, 60, "clojars"),
    Format("4b1d", of::ALNUM, 38, 38, "clickhouse"),
    Format("v1.0-", of::HEX | of::HYPHEN, 171, 171, "cloudflare"),
    Format("dapi", of::HEX | of::HYPHEN, 32, 34, "databricks"),
    Format("dckr_pat_", of::TOKEN, 27, 32, "docker"),
    Format("dckr_oat_", of::TOKEN, 32, 32, "docker"),
    Format("dnkey-", of::TOKEN | of::EQUALS, 79, 79, "defined"),
    Format("doo_v1_", of::HEX, 64, 64, "digitalocean"),
    Format("dop_v1_", of::HEX, 64, 64, "digitalocean"),
    Format("dor_v1_", of::HEX, 64, 64, "digitalocean"),
    Format("dp.pt.", of::ALNUM, 43, 43, "doppler"),
    Format("dp.st.", of::ALNUM | of::DOT | of::UNDERSCORE, 40, 80, "doppler"),
    Format("duffel_test_", of::TOKEN | of::EQUALS, 43, 43, "duffel"),
    Format("duffel_live_", of::TOKEN | of::EQUALS, 43, 43, "duffel"),
    Format("dt0c01.", of::ALNUM | of::DOT, 89, 89, "dynatrace"),
    Format("EZAK", of::ALNUM, 54, 54, "easypost"),
    Format("EZTK", of::ALNUM, 54, 54, "easypost"),
    Format("EAAM", of::ALNUM, 90, ANY, "facebook"),
    Format("EAAC", of::ALNUM, 90, ANY, "facebook"),
    Format("figd_", of::TOKEN, 38, 60, "figma"),
    Format("FLWPUBK_TEST-", of::ALNUM | of::HYPHEN, 34, 34, "flutterwave"),
    Format("FLWSECK_TEST-", of::ALNUM | of::HYPHEN, 12, 34, "flutterwave"),
    Format("FLWSECK-", of::ALNUM | of::HYPHEN, 34, 40, "flutterwave"),
    Format("fo1_", of::TOKEN, 43, 43, "fly"),
    Format("fm1a_", of::BASE64, 100, ANY, "fly"),
    Format("fm1r_", of::BASE64, 100, ANY, "fly"),
    Format("fm2_", of::BASE64, 100, ANY, "fly"),
    Format("fio-u-", of::TOKEN | of::EQUALS, 64, 64, "frameio"),
    Format("AIza", of::TOKEN, 35, 35, "google"),
    Format("GOCSPX-", of::TOKEN, 28, 28, "google"),
    Format("ya29.", of::TOKEN, 30, ANY, "google"),
    Format("1//0", of::TOKEN, 40, 120, "google"),
    Format("ghp_", of::ALNUM, 36, 255, "github"),
    Format("gho_", of::ALNUM, 36, 255, "github"),
    Format("ghu_", of::ALNUM, 36, 255, "github"),
    Format("ghs_", of::ALNUM, 36, 255, "github"),
    Format("ghr_", of::ALNUM, 36, 255, "github"),
    Format("github_pat_", of::ALNUM | of::UNDERSCORE, 60, 90, "github"),
    Format("glpat-", of::DOTTED, 20, 300, "gitlab"),
    Format("glptt-", of::HEX, 40, 40, "gitlab"),
    Format("GR1348941", of::TOKEN, 20, 20, "gitlab"),
    Format("glcbt-", of::TOKEN, 20, 32, "gitlab"),
    Format("gldt-", of::TOKEN, 20, 20, "gitlab"),
    Format("glft-", of::TOKEN, 20, 20, "gitlab"),
    Format("glffct-", of::TOKEN, 20, 20, "gitlab"),
    Format("glsoat-", of::TOKEN, 20, 20, "gitlab"),
    Format("glrt-", of::DOTTED, 20, 300, "gitlab"),
    Format("glrtr-", of::TOKEN, 20, 64, "gitlab"),
    Format("glimt-", of::TOKEN, 25, 25, "gitlab"),
    Format("glagent-", of::TOKEN, 50, 50, "gitlab"),
    Format("gloas-", of::TOKEN, 64, 64, "gitlab"),
    Format("glwt-", of::TOKEN, 20, 64, "gitlab"),
    Format("_gitlab_session=", of::ALNUM, 32, 32, "gitlab"),
    Format("glc_", of::BASE64, 32, 400, "grafana"),
    Format("glsa_", of::ALNUM | of::UNDERSCORE, 41, 41, "grafana"),
    Format("gsk_", of::ALNUM, 40, 60, "groq"),
    Format("pat.", of::TOKEN | of::DOT, 68, 68, "harness"),
    Format("sat.", of::TOKEN | of::DOT, 68, 68, "harness"),
    Format("HRKU-", of::TOKEN, 60, 62, "heroku"),
    Format("hf_", of::ALNUM, 34, 40, "huggingface"),
    Format("api_org_", of::ALNUM, 34, 34, "huggingface"),
    Format("ico-", of::ALNUM, 32, 32, "infracost"),
    Format("s-s4t2ud-", of::HEX, 64, 64, "intra42"),
    Format("s-s4t2af-", of::HEX, 64, 64, "intra42"),
    Format("lin_api_", of::ALNUM, 40, 40, "linear"),
    Format("lip_", of::ALNUM, 20, 24, "lichess"),
    Format("key-", of::HEX, 32, 32, "mailgun"),
    Format("pubkey-", of::HEX, 32, 32, "mailgun"),
    Format("pk.", of::ALNUM | of::DOT | of::UNDERSCORE, 80, 110, "mapbox"),
    Format("sk.eyJ", of::ALNUM | of::DOT | of::UNDERSCORE, 70, 110, "mapbox"),
    Format("NRAK-", of::ALNUM, 27, 27, "newrelic"),
    Format("NRJS-", of::HEX, 19, 19, "newrelic"),
    Format("NRII-", of::ALNUM | of::HYPHEN, 32, 32, "newrelic"),
    Format("ntn_", of::ALNUM, 44, 50, "notion"),
    Format("secret_", of::ALNUM, 43, 43, "notion"),
    Format("npm_", of::ALNUM, 36, 36, "npm"),
    Format("API-", of::CAPITALS, 26, 26, "octopus"),
    Format("sk-proj-", of::TOKEN, 40, 260, "openai"),
    Format("sk-svcacct-", of::TOKEN, 40, 260, "openai"),
    Format("sk-admin-", of::TOKEN, 40, 260, "openai"),
    Format("sk-or-v1-", of::HEX, 64, 64, "openrouter"),
    Format("sk-", of::ALNUM, 32, 64, "openai"),
    Format("sha256~", of::TOKEN, 43, 43, "openshift"),
    Format("pplx-", of::ALNUM, 40, 60, "perplexity"),
    Format("access-sandbox-", of::HEX | of::HYPHEN, 36, 36, "plaid"),
    Format("access-development-", of::HEX | of::HYPHEN, 36, 36, "plaid"),
    Format("access-production-", of::HEX | of::HYPHEN, 36, 36, "plaid"),
    Format("pscale_pw_", of::DOTTED, 32, 64, "planetscale"),
    Format("pscale_tkn_", of::DOTTED, 32, 64, "planetscale"),
    Format("pscale_oauth_", of::DOTTED, 32, 64, "planetscale"),
    Format("PMAK-", of::HEX | of::HYPHEN, 59, 59, "postman"),
    Format("pnu_", of::ALNUM, 36, 36, "prefect"),
    Format("pul-", of::HEX, 40, 40, "pulumi"),
    Format("pypi-AgEIcHlwaS5vcmc", of::TOKEN, 50, 1000, "pypi"),
    Format("pypi-AgENdGVzdC5weXBpLm9yZ", of::TOKEN, 50, 1000, "pypi"),
    Format("rdme_", of::ALNUM, 70, 70, "readme"),
    Format("r8_", of::ALNUM, 37, 40, "replicate"),
    Format("rubygems_", of::HEX, 48, 48, "rubygems"),
    Format("tk-us-", of::TOKEN, 48, 48, "scalingo"),
    Format("SG.", of::DOTTED, 60, 70, "sendgrid"),
    Format("xkeysib-", of::ALNUM | of::HYPHEN, 81, 81, "brevo"),
    Format("xsmtpsib-", of::ALNUM | of::HYPHEN, 81, 81, "brevo"),
    Format("sntrys_", of::BASE64 | of::UNDERSCORE, 80, ANY, "sentry"),
    Format("sntryu_", of::HEX, 64, 64, "sentry"),
    Format("sm_aat_", of::ALNUM, 16, 16, "settlemint"),
    Format("sm_pat_", of::ALNUM, 16, 16, "settlemint"),
    Format("sm_sat_", of::ALNUM, 16, 16, "settlemint"),
    Format("shippo_live_", of::HEX, 40, 40, "shippo"),
    Format("shippo_test_", of::HEX, 40, 40, "shippo"),
    Format("shpat_", of::HEX, 32, 32, "shopify"),
    Format("shpca_", of::HEX, 32, 32, "shopify"),
    Format("shppa_", of::HEX, 32, 32, "shopify"),
    Format("shpss_", of::HEX, 32, 32, "shopify"),
    Format("xoxb-", of::ALNUM | of::HYPHEN, 20, 150, "slack"),
    Format("xoxp-", of::ALNUM | of::HYPHEN, 20, 150, "slack"),
    Format("xoxa-", of::ALNUM | of::HYPHEN, 16, 150, "slack"),
    Format("xoxr-", of::ALNUM | of::HYPHEN, 16, 150, "slack"),
    Format("xoxs-", of::ALNUM | of::HYPHEN, 16, 150, "slack"),
    Format("xoxo-", of::ALNUM | of::HYPHEN, 16, 150, "slack"),
    Format("xoxe-", of::ALNUM | of::HYPHEN, 20, 250, "slack"),
    Format("xoxe.xoxb-", of::ALNUM | of::HYPHEN, 20, 250, "slack"),
    Format("xoxe.xoxp-", of::ALNUM | of::HYPHEN, 20, 250, "slack"),
    Format("xapp-", of::ALNUM | of::HYPHEN, 20, 150, "slack"),
    Format("hooks.slack.com/services/", of::ALNUM | of::SLASH, 40, 60, "slack"),
    Format("hooks.slack.com/triggers/", of::ALNUM | of::SLASH, 30, 90, "slack"),
    Format("webhook.office.com/webhookb2/", of::TOKEN | of::SLASH, 30, 90, "teams"),
    Format("hooks.slack.com/workflows/", of::ALNUM | of::SLASH, 40, 90, "slack"),
    Format("discord.com/api/webhooks/", of::TOKEN | of::SLASH, 70, 110, "discord"),
    Format("discordapp.com/api/webhooks/", of::TOKEN | of::SLASH, 70, 110, "discord"),
    Format("sqp_", of::ALNUM, 40, 40, "sonar"),
    Format("squ_", of::ALNUM, 40, 40, "sonar"),
    Format("sqa_", of::ALNUM, 40, 40, "sonar"),
    Format("sgp_", of::ALNUM | of::UNDERSCORE, 40, 64, "sourcegraph"),
    Format("EAAA", of::TOKEN, 22, 60, "square"),
    Format("sq0atp-", of::TOKEN, 22, 60, "square"),
    Format("sq0csp-", of::TOKEN, 40, 48, "square"),
    Format("sk_live_", of::ALNUM, 10, 110, "stripe"),
    Format("sk_test_", of::ALNUM, 10, 110, "stripe"),
    Format("sk_prod_", of::ALNUM, 10, 110, "stripe"),
    Format("rk_live_", of::ALNUM, 10, 110, "stripe"),
    Format("rk_test_", of::ALNUM, 10, 110, "stripe"),
    Format("rk_prod_", of::ALNUM, 10, 110, "stripe"),
    Format("whsec_", of::BASE64, 24, 80, "stripe"),
    Format("sbp_", of::HEX, 40, 40, "supabase"),
    Format("sb_secret_", of::TOKEN, 20, 60, "supabase"),
    Format("tskey-", of::ALNUM | of::HYPHEN, 20, 80, "tailscale"),
    Format("SK", of::HEX, 32, 32, "twilio"),
    Format("tfp_", of::DOTTED, 59, 59, "typeform"),
    Format("hvs.", of::TOKEN, 24, 130, "vault"),
    Format("hvb.", of::TOKEN, 100, 300, "vault"),
    Format("hvr.", of::TOKEN, 24, 300, "vault"),
    Format("vck_", of::ALNUM, 50, 70, "vercel"),
    Format("AQVN", of::TOKEN, 35, 38, "yandex"),
    Format("YC", of::TOKEN, 38, 38, "yandex"),
    Format("t1.", of::DOTTED, 90, ANY, "yandex"),
    Format("y0_", of::TOKEN, 50, 64, "yandex"),
    Format("xai-", of::ALNUM, 70, 90, "xai"),
    Format("ABCTP", of::ALNUM, 30, 60, "beamer"),
    Format("eyJrIjoi", of::BASE64, 70, 400, "grafana"),
];

/// The forms by their first two characters.
pub(crate) struct Formats(HashMap<[u8; 2], Vec<&'static Format>>);

impl Formats {
    pub(crate) fn new() -> Self {
        let mut known: HashMap<[u8; 2], Vec<&'static Format>> = HashMap::new();
        for format in FORMATS {
            let head = format.0.as_bytes();
            known.entry([head[0], head[1]]).or_default().push(format);
        }
        // Of two that begin alike, the one that says more comes first.
        for formats in known.values_mut() {
            formats.sort_by_key(|format| std::cmp::Reverse(format.0.len()));
        }
        Self(known)
    }

    /// What all forms begin with, and how long they are at least.
    pub(crate) fn beginnings(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.0.values().flatten().map(|format| (format.0, format.0.len() + format.2))
    }

    /// Looks for a credential that begins at `start`; says where it ends.
    pub(crate) fn look(&self, subject: &mut Subject<'_>, start: usize) -> Option<usize> {
        let rest = &subject.bytes[start..];
        let known = self.0.get(rest.get(..2)?)?;
        let (format, length) =
            known.iter().find_map(|format| fit(format, rest).map(|length| (format, length)))?;
        let end = start + length;
        let value = &subject.text[start..end];
        let tail = &subject.bytes[start + format.0.len()..end];
        // What begins with sixteen characters of its own is what it says.
        let long = format.0.len() >= 16;
        let varied = entropy(tail) >= if format.2 <= 20 { 2.0 } else { 2.5 };
        let joined = format.0.len() <= 4 && matches!(class::before(subject.bytes, start), b'.' | b'-');
        if !long && (!varied || joined || is_placeholder(value)) {
            return None;
        }
        subject.hit(Entity::Secret, format.4, start, end, 0.97);
        Some(end)
    }
}

/// The length of what has this form at the start of `text`.
fn fit(format: &Format, text: &[u8]) -> Option<usize> {
    let Format(prefix, set, least, most, _) = format;
    if !text.starts_with(prefix.as_bytes()) {
        return None;
    }
    let tail = &text[prefix.len()..];
    let mut length = tail.iter().take(most + 1).take_while(|byte| of::is(**byte, *set)).count();
    // A full stop after it is of the sentence, unless that is how long it has to be.
    while length > *least && matches!(tail[length - 1], b'.' | b'-') {
        length -= 1;
    }
    // What may go on is too long; what stands after must not be part of it.
    let next = class::at(tail, length);
    let ends = length <= *most && !class::is_word(next) && next != b'_';
    (length >= *least && ends).then_some(prefix.len() + length)
}
