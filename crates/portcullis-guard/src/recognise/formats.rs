//! Credentials that say whose they are: what they begin with, and what may follow.
//!
//! One row for each form, as its issuer documents or shows it. Words that one may begin with are found by `sweep`, then
//! compared here. What it leaves out: forms without anything of their own, which `assigned` finds by name.

use foldhash::{HashMap, HashMapExt};

use super::Subject;
use super::secret::{entropy, is_jumbled, is_placeholder, is_random};
use crate::Entity;
use crate::text::class;

mod more;

/// Characters that may follow, as bits.
pub(crate) mod of {
    pub(crate) const DIGIT: u16 = 1;
    pub(crate) const LOWER_HEX: u16 = 2;
    pub(crate) const UPPER_HEX: u16 = 4;
    pub(crate) const LOWER: u16 = 8 | LOWER_HEX;
    pub(crate) const UPPER: u16 = 16 | UPPER_HEX;
    pub(crate) const UNDERSCORE: u16 = 32;
    pub(crate) const HYPHEN: u16 = 64;
    pub(crate) const DOT: u16 = 128;
    pub(crate) const SLASH: u16 = 256;
    pub(crate) const EQUALS: u16 = 512;
    pub(crate) const HEX: u16 = DIGIT | LOWER_HEX | UPPER_HEX;
    pub(crate) const ALNUM: u16 = DIGIT | LOWER | UPPER;
    pub(crate) const TOKEN: u16 = ALNUM | UNDERSCORE | HYPHEN;
    pub(crate) const DOTTED: u16 = TOKEN | DOT | EQUALS;
    pub(crate) const BASE64: u16 = ALNUM | SLASH | EQUALS;
    pub(crate) const CAPITALS: u16 = DIGIT | UPPER;

    pub(crate) fn is(byte: u8, set: u16) -> bool {
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
/// How much follows at least what begins inside a word.
const INSIDE: usize = 20;

#[rustfmt::skip]
const FORMATS: &[Format] = &[
    Format("A3-", of::CAPITALS | of::HYPHEN, 31, 37, "1password"),
    Format("ops_eyJ", of::BASE64, 200, ANY, "1password"),
    Format("aio_", of::ALNUM, 28, 28, "adafruit"),
    Format("p8e-", of::ALNUM, 32, 32, "adobe"),
    Format("AGE-SECRET-KEY-1", of::CAPITALS, 58, 58, "age"),
    Format("pat", of::ALNUM | of::DOT, 79, 79, "airtable"),
    Format("AVNS_", of::TOKEN, 19, 19, "aiven"),
    Format("akab-", of::LOWER | of::DIGIT | of::HYPHEN, 33, 33, "akamai"),
    Format("LTAI", of::ALNUM, 12, 24, "alibaba"),
    Format("amzn.mws.", of::HEX | of::HYPHEN, 36, 36, "amazon"),
    Format("amzn1.oa2-cs.v1.", of::HEX, 64, 64, "amazon"),
    Format("sk-ant-", of::TOKEN, 60, 140, "anthropic"),
    Format("apify_api_", of::ALNUM, 36, 40, "apify"),
    Format("AKCp", of::ALNUM, 60, 80, "artifactory"),
    Format("cmVmd", of::ALNUM, 59, 59, "artifactory"),
    Format("ATATT3", of::TOKEN | of::EQUALS, 150, 260, "atlassian"),
    Format("ATCTT3", of::TOKEN | of::EQUALS, 150, 260, "atlassian"),
    Format("authress_", of::DOTTED | of::SLASH, 55, 200, "authress"),
    Format("ext_", of::DOTTED | of::SLASH, 55, 200, "authress"),
    Format("sc_", of::DOTTED | of::SLASH, 55, 200, "authress"),
    Format("scauth_", of::DOTTED | of::SLASH, 55, 200, "authress"),
    Format("A3T", of::CAPITALS, 17, 17, "aws"),
    Format("ABIA", of::CAPITALS, 16, 16, "aws"),
    Format("ABSK", of::BASE64, 109, 271, "aws"),
    Format("ACCA", of::CAPITALS, 16, 16, "aws"),
    Format("AKIA", of::CAPITALS, 16, 16, "aws"),
    Format("ASIA", of::CAPITALS, 16, 16, "aws"),
    Format("FwoGZXIvYXdz", of::BASE64, 100, ANY, "aws"),
    Format("IQoJb3JpZ2luX2Vj", of::BASE64, 100, ANY, "aws"),
    Format("bedrock-api-key-", of::BASE64, 28, ANY, "aws"),
    Format("da2-", of::LOWER | of::DIGIT, 26, 26, "aws"),
    Format("bce-v3/ALTAK-", of::ALNUM | of::SLASH, 50, 80, "baidu"),
    Format("ABCTP", of::ALNUM, 30, 60, "beamer"),
    Format("ATBB", of::ALNUM, 32, 32, "bitbucket"),
    Format("BBDC-", of::TOKEN | of::SLASH, 40, 50, "bitbucket"),
    Format("xkeysib-", of::ALNUM | of::HYPHEN, 81, 81, "brevo"),
    Format("xsmtpsib-", of::ALNUM | of::HYPHEN, 81, 81, "brevo"),
    Format("bb_live_", of::TOKEN, 20, 40, "browserbase"),
    Format("bkct_", of::ALNUM, 30, 60, "buildkite"),
    Format("bkua_", of::LOWER | of::DIGIT, 40, 40, "buildkite"),
    Format("cnvca", of::ALNUM, 51, 51, "canva"),
    Format("csk-", of::LOWER | of::DIGIT, 48, 48, "cerebras"),
    Format("cu_", of::HEX, 32, 32, "checkly"),
    Format("sk_", of::HEX | of::HYPHEN, 36, 36, "checkout"),
    Format("sk_test_", of::HEX | of::HYPHEN, 36, 36, "checkout"),
    Format("ctp_", of::ALNUM, 40, 60, "chief"),
    Format("CCIPAT_", of::ALNUM | of::UNDERSCORE, 60, 70, "circleci"),
    Format("CCIPRJ_", of::ALNUM | of::UNDERSCORE, 60, 70, "circleci"),
    Format("sk_", of::HEX, 32, 32, "clearbit"),
    Format("4b1d", of::ALNUM, 38, 38, "clickhouse"),
    Format("pk_", of::CAPITALS | of::UNDERSCORE, 38, 46, "clickup"),
    Format("CLOJARS_", of::ALNUM, 60, 60, "clojars"),
    Format("cfat_", of::TOKEN, 40, 60, "cloudflare"),
    Format("cfk_", of::TOKEN, 40, 60, "cloudflare"),
    Format("cfut_", of::TOKEN, 40, 60, "cloudflare"),
    Format("v1.0-", of::HEX | of::HYPHEN, 171, 171, "cloudflare"),
    Format("CCDB1_", of::ALNUM | of::UNDERSCORE, 60, 66, "cockroach"),
    Format("cflt", of::ALNUM | of::SLASH, 60, 60, "confluent"),
    Format("CFPAT-", of::TOKEN, 43, 43, "contentful"),
    Format("cio", of::ALNUM, 32, 32, "crates.io"),
    Format("dapi", of::HEX | of::HYPHEN, 32, 34, "databricks"),
    Format("dkea", of::HEX, 32, 32, "databricks"),
    Format("dose", of::HEX, 32, 32, "databricks"),
    Format("ddapp_", of::ALNUM, 34, 34, "datadog"),
    Format("dtn_", of::HEX, 64, 64, "daytona"),
    Format("dnkey-", of::TOKEN | of::EQUALS, 79, 79, "defined"),
    Format("ddp_", of::ALNUM, 36, 36, "deno"),
    Format("ddw_", of::ALNUM, 36, 36, "deno"),
    Format("odt_", of::ALNUM, 32, 64, "dependency-track"),
    Format("dvc_server_", of::TOKEN, 36, 80, "devcycle"),
    Format("doo_v1_", of::HEX, 64, 64, "digitalocean"),
    Format("dop_v1_", of::HEX, 64, 64, "digitalocean"),
    Format("dor_v1_", of::HEX, 64, 64, "digitalocean"),
    Format("discord.com/api/webhooks/", of::TOKEN | of::SLASH, 70, 110, "discord"),
    Format("discordapp.com/api/webhooks/", of::TOKEN | of::SLASH, 70, 110, "discord"),
    Format("SWMKEY-1-", of::BASE64, 43, 43, "docker"),
    Format("SWMTKN-1-", of::LOWER | of::DIGIT | of::HYPHEN, 76, 76, "docker"),
    Format("dckr_oat_", of::TOKEN, 32, 32, "docker"),
    Format("dckr_pat_", of::TOKEN, 27, 32, "docker"),
    Format("dp.audit.", of::ALNUM, 40, 44, "doppler"),
    Format("dp.ct.", of::ALNUM, 40, 44, "doppler"),
    Format("dp.pt.", of::ALNUM, 40, 44, "doppler"),
    Format("dp.sa.", of::ALNUM, 40, 44, "doppler"),
    Format("dp.scim.", of::ALNUM, 40, 44, "doppler"),
    Format("dp.st.", of::ALNUM | of::DOT | of::UNDERSCORE, 40, 80, "doppler"),
    Format("sl.", of::TOKEN | of::EQUALS | of::DOT, 120, ANY, "dropbox"),
    Format("duffel_live_", of::TOKEN | of::EQUALS, 43, 43, "duffel"),
    Format("duffel_test_", of::TOKEN | of::EQUALS, 43, 43, "duffel"),
    Format("dt0c01.", of::ALNUM | of::DOT, 89, 89, "dynatrace"),
    Format("dt0s01.", of::ALNUM | of::DOT, 60, 120, "dynatrace"),
    Format("dt0s02.", of::ALNUM | of::DOT, 60, 120, "dynatrace"),
    Format("dt0s16.", of::ALNUM | of::DOT, 60, 120, "dynatrace"),
    Format("e2b_", of::HEX, 40, 40, "e2b"),
    Format("EZAK", of::ALNUM, 54, 54, "easypost"),
    Format("EZTK", of::ALNUM, 54, 54, "easypost"),
    Format("ak_live_", of::ALNUM, 30, 30, "easyship"),
    Format("essu_", of::TOKEN | of::EQUALS, 40, 200, "elastic"),
    Format("sk_", of::HEX, 48, 48, "elevenlabs"),
    Format("endr+", of::ALNUM | of::HYPHEN, 16, 16, "endor"),
    Format("EAA", of::ALNUM, 91, ANY, "facebook"),
    Format("figd_", of::TOKEN, 38, 200, "figma"),
    Format("figp_", of::TOKEN, 38, 200, "figma"),
    Format("figu_", of::TOKEN, 38, 200, "figma"),
    Format("fc-", of::HEX, 32, 32, "firecrawl"),
    Format("fw_", of::ALNUM, 22, 24, "fireworks"),
    Format("flb_live_", of::ALNUM, 20, 20, "fleetbase"),
    Format("FLWPUBK-", of::ALNUM | of::HYPHEN, 34, 40, "flutterwave"),
    Format("FLWPUBK_TEST-", of::ALNUM | of::HYPHEN, 34, 34, "flutterwave"),
    Format("FLWSECK-", of::ALNUM | of::HYPHEN, 34, 40, "flutterwave"),
    Format("FLWSECK_TEST-", of::ALNUM | of::HYPHEN, 12, 34, "flutterwave"),
    Format("fm1a_", of::BASE64, 100, ANY, "fly"),
    Format("fm1r_", of::BASE64, 100, ANY, "fly"),
    Format("fm2_", of::BASE64, 100, ANY, "fly"),
    Format("fo1_", of::TOKEN, 43, 43, "fly"),
    Format("fio-u-", of::TOKEN | of::EQUALS, 64, 64, "frameio"),
    Format("eu1.", of::BASE64, 100, 100, "fullstory"),
    Format("na1.", of::BASE64, 100, 100, "fullstory"),
    Format("gho_", of::ALNUM, 36, 255, "github"),
    Format("ghp_", of::ALNUM, 36, 255, "github"),
    Format("ghr_", of::ALNUM, 36, 255, "github"),
    Format("ghs_", of::TOKEN | of::DOT, 36, 1024, "github"),
    Format("ghu_", of::ALNUM, 36, 255, "github"),
    Format("github_pat_", of::ALNUM | of::UNDERSCORE, 60, 90, "github"),
    Format("GR1348941", of::TOKEN, 20, 50, "gitlab"),
    Format("gitlab_session=", of::ALNUM, 32, 32, "gitlab"),
    Format("glagent-", of::TOKEN, 50, 1024, "gitlab"),
    Format("glcbt-", of::TOKEN, 20, 50, "gitlab"),
    Format("gldt-", of::TOKEN, 20, 50, "gitlab"),
    Format("glffct-", of::TOKEN, 20, 50, "gitlab"),
    Format("glft-", of::TOKEN, 20, 50, "gitlab"),
    Format("glimt-", of::TOKEN, 25, 25, "gitlab"),
    Format("gloas-", of::TOKEN, 64, 64, "gitlab"),
    Format("glpat-", of::DOTTED, 20, 300, "gitlab"),
    Format("glptt-", of::HEX, 40, 40, "gitlab"),
    Format("glrt-", of::DOTTED, 20, 300, "gitlab"),
    Format("glrtr-", of::TOKEN, 20, 64, "gitlab"),
    Format("glsoat-", of::TOKEN, 20, 50, "gitlab"),
    Format("glwt-", of::TOKEN, 20, 64, "gitlab"),
    Format("live_", of::TOKEN, 40, 44, "gocardless"),
    Format("1//0", of::TOKEN, 40, 120, "google"),
    Format("AIza", of::TOKEN, 35, 35, "google"),
    Format("AQ.Ab", of::TOKEN, 40, 60, "google"),
    Format("GOCSPX-", of::TOKEN, 28, 28, "google"),
    Format("ya29.", of::TOKEN, 30, ANY, "google"),
    Format("eyJrIjoi", of::BASE64, 70, 400, "grafana"),
    Format("glc_", of::BASE64, 32, 400, "grafana"),
    Format("glsa_", of::ALNUM | of::UNDERSCORE, 41, 41, "grafana"),
    Format("gsk_", of::ALNUM, 40, 60, "groq"),
    Format("pat.", of::TOKEN | of::DOT, 68, 68, "harness"),
    Format("sat.", of::TOKEN | of::DOT, 68, 68, "harness"),
    Format("hcp_", of::ALNUM, 40, 80, "hashicorp"),
    Format("HRKU-", of::TOKEN, 60, 62, "heroku"),
    Format("hcaik_", of::ALNUM, 50, 64, "honeycomb"),
    Format("hcbik_", of::ALNUM, 50, 64, "honeycomb"),
    Format("hcxik_", of::ALNUM, 50, 64, "honeycomb"),
    Format("hcxmk_", of::ALNUM, 50, 64, "honeycomb"),
    Format("pat-eu1-", of::HEX | of::HYPHEN, 36, 36, "hubspot"),
    Format("pat-na1-", of::HEX | of::HYPHEN, 36, 36, "hubspot"),
    Format("pat-na2-", of::HEX | of::HYPHEN, 36, 36, "hubspot"),
    Format("api_org_", of::ALNUM, 34, 34, "huggingface"),
    Format("hf_", of::ALNUM, 34, 40, "huggingface"),
    Format("ico-", of::ALNUM, 32, 32, "infracost"),
    Format("IGAA", of::ALNUM, 90, ANY, "instagram"),
    Format("IGQV", of::TOKEN, 90, ANY, "instagram"),
    Format("dG9rO", of::BASE64, 50, 60, "intercom"),
    Format("s-s4t2af-", of::HEX, 64, 64, "intra42"),
    Format("s-s4t2ud-", of::HEX, 64, 64, "intra42"),
    Format("u-s4t2af-", of::HEX, 64, 64, "intra42"),
    Format("u-s4t2ud-", of::HEX, 64, 64, "intra42"),
    Format("ion_", of::ALNUM, 42, 42, "ionic"),
    Format("isat_", of::ALNUM, 50, 60, "iterative"),
    Format("jina_", of::ALNUM, 60, 60, "jina"),
    Format("pk_", of::HEX, 34, 34, "klaviyo"),
    Format("sk-lf-", of::HEX | of::HYPHEN, 36, 36, "langfuse"),
    Format("lsv2_pt_", of::HEX | of::UNDERSCORE, 43, 43, "langsmith"),
    Format("lsv2_sk_", of::HEX | of::UNDERSCORE, 43, 43, "langsmith"),
    Format("api-", of::HEX | of::HYPHEN, 36, 36, "launchdarkly"),
    Format("mob-", of::HEX | of::HYPHEN, 36, 36, "launchdarkly"),
    Format("sdk-", of::HEX | of::HYPHEN, 36, 36, "launchdarkly"),
    Format("lip_", of::ALNUM, 20, 24, "lichess"),
    Format("lin_api_", of::ALNUM, 40, 40, "linear"),
    Format("lin_oauth_", of::HEX, 64, 64, "linear"),
    Format("live_", of::HEX, 35, 35, "lob"),
    Format("live_pub_", of::HEX, 31, 31, "lob"),
    Format("test_", of::HEX, 35, 35, "lob"),
    Format("test_pub_", of::HEX, 31, 31, "lob"),
    Format("pylf_v1_", of::ALNUM | of::UNDERSCORE, 40, 64, "logfire"),
    Format("key-", of::LOWER | of::DIGIT, 32, 32, "mailgun"),
    Format("pubkey-", of::HEX, 32, 32, "mailgun"),
    Format("md-", of::TOKEN, 22, 22, "mandrill"),
    Format("pk.", of::ALNUM | of::DOT | of::UNDERSCORE, 80, 110, "mapbox"),
    Format("sk.eyJ", of::ALNUM | of::DOT | of::UNDERSCORE, 70, 110, "mapbox"),
    Format("APP_USR-", of::HEX | of::HYPHEN, 60, 80, "mercadopago"),
    Format("live_", of::ALNUM, 25, 25, "messagebird"),
    Format("live_", of::ALNUM, 30, 30, "mollie"),
    Format("mdb_sa_sk_", of::TOKEN, 40, 40, "mongodb"),
    Format("n8n_api_", of::DOTTED, 60, 400, "n8n"),
    Format("napi_", of::LOWER | of::DIGIT, 64, 64, "neon"),
    Format("nfc_", of::ALNUM, 36, 40, "netlify"),
    Format("nfo_", of::ALNUM, 36, 40, "netlify"),
    Format("nfp_", of::ALNUM, 36, 40, "netlify"),
    Format("nfu_", of::ALNUM, 36, 40, "netlify"),
    Format("NRAK-", of::ALNUM, 27, 27, "newrelic"),
    Format("NRBR-", of::HEX, 19, 19, "newrelic"),
    Format("NRII-", of::TOKEN, 25, 32, "newrelic"),
    Format("NRIQ-", of::TOKEN, 25, 32, "newrelic"),
    Format("NRJS-", of::HEX, 19, 19, "newrelic"),
    Format("NRRA-", of::HEX, 42, 42, "newrelic"),
    Format("NF-", of::ALNUM, 32, 32, "nightfall"),
    Format("ntn_", of::ALNUM, 44, 50, "notion"),
    Format("secret_", of::ALNUM, 43, 43, "notion"),
    Format("npm_", of::ALNUM, 36, 36, "npm"),
    Format("oy2", of::LOWER | of::DIGIT, 43, 43, "nuget"),
    Format("nvapi-", of::TOKEN, 60, 70, "nvidia"),
    Format("nyk_v0_", of::ALNUM, 64, 64, "nylas"),
    Format("API-", of::CAPITALS, 26, 34, "octopus"),
    Format("skey_live_", of::ALNUM, 19, 24, "omise"),
    Format("skey_test_", of::ALNUM, 19, 24, "omise"),
    Format("os_v2_app_", of::LOWER | of::DIGIT, 103, 103, "onesignal"),
    Format("os_v2_org_", of::LOWER | of::DIGIT, 103, 103, "onesignal"),
    Format("api_live.", of::DOTTED, 30, 80, "onfido"),
    Format("api_sandbox.", of::DOTTED, 30, 80, "onfido"),
    Format("sess-", of::ALNUM, 40, 40, "openai"),
    Format("sk-", of::ALNUM, 32, 64, "openai"),
    Format("sk-admin-", of::TOKEN, 40, 260, "openai"),
    Format("sk-proj-", of::TOKEN, 40, 260, "openai"),
    Format("sk-service-", of::TOKEN, 40, 260, "openai"),
    Format("sk-svcacct-", of::TOKEN, 40, 260, "openai"),
    Format("sk-or-v1-", of::HEX, 64, 64, "openrouter"),
    Format("sha256~", of::TOKEN, 43, 43, "openshift"),
    Format("ory_at_", of::TOKEN | of::DOT, 40, 140, "ory"),
    Format("ory_pat_", of::TOKEN, 32, 90, "ory"),
    Format("ory_rt_", of::TOKEN | of::DOT, 40, 140, "ory"),
    Format("pdl_live_apikey_", of::ALNUM | of::UNDERSCORE, 40, 60, "paddle"),
    Format("pdl_sdbx_apikey_", of::ALNUM | of::UNDERSCORE, 40, 60, "paddle"),
    Format("A21AA", of::TOKEN, 80, 110, "paypal"),
    Format("pplx-", of::ALNUM, 40, 60, "perplexity"),
    Format("persona_production_", of::HEX | of::HYPHEN, 36, 36, "persona"),
    Format("persona_sandbox_", of::HEX | of::HYPHEN, 36, 36, "persona"),
    Format("pcsk_", of::ALNUM | of::UNDERSCORE, 60, 72, "pinecone"),
    Format("pina_", of::ALNUM, 32, 80, "pinterest"),
    Format("access-development-", of::HEX | of::HYPHEN, 36, 36, "plaid"),
    Format("access-production-", of::HEX | of::HYPHEN, 36, 36, "plaid"),
    Format("access-sandbox-", of::HEX | of::HYPHEN, 36, 36, "plaid"),
    Format("pscale_app_", of::DOTTED, 32, 64, "planetscale"),
    Format("pscale_oauth_", of::DOTTED, 32, 64, "planetscale"),
    Format("pscale_pw_", of::DOTTED, 32, 64, "planetscale"),
    Format("pscale_tkn_", of::DOTTED, 32, 64, "planetscale"),
    Format("polar_oat_", of::ALNUM, 40, 60, "polar"),
    Format("phs_", of::ALNUM, 43, 50, "posthog"),
    Format("phx_", of::ALNUM, 43, 50, "posthog"),
    Format("PMAK-", of::HEX | of::HYPHEN, 59, 59, "postman"),
    Format("PMAT-", of::CAPITALS, 26, 26, "postman"),
    Format("pnb_", of::ALNUM, 36, 36, "prefect"),
    Format("pnu_", of::ALNUM, 36, 36, "prefect"),
    Format("pub-c-", of::LOWER | of::DIGIT | of::HYPHEN, 36, 36, "pubnub"),
    Format("sec-c-", of::ALNUM, 48, 52, "pubnub"),
    Format("sub-c-", of::LOWER | of::DIGIT | of::HYPHEN, 36, 36, "pubnub"),
    Format("pul-", of::HEX, 40, 40, "pulumi"),
    Format("pypi-AgEIcHlwaS5vcmc", of::TOKEN, 50, 1000, "pypi"),
    Format("pypi-AgENdGVzdC5weXBpLm9yZ", of::TOKEN, 50, 1000, "pypi"),
    Format("ramp_id_", of::ALNUM, 40, 40, "ramp"),
    Format("ramp_sec_", of::ALNUM, 48, 48, "ramp"),
    Format("rzp_live_", of::ALNUM, 14, 14, "razorpay"),
    Format("rzp_test_", of::ALNUM, 14, 14, "razorpay"),
    Format("rdme_", of::ALNUM, 70, 70, "readme"),
    Format("rh-api-", of::HEX | of::HYPHEN, 36, 36, "redhat"),
    Format("rnd_", of::ALNUM, 28, 36, "render"),
    Format("r8_", of::TOKEN, 37, 40, "replicate"),
    Format("re_", of::ALNUM | of::UNDERSCORE, 32, 36, "resend"),
    Format("secret-token:", of::TOKEN | of::SLASH, 30, 120, "rfc8959"),
    Format("rootly_", of::HEX, 64, 64, "rootly"),
    Format("rubygems_", of::HEX, 48, 48, "rubygems"),
    Format("rpa_", of::CAPITALS, 40, 50, "runpod"),
    Format("salad_cloud_", of::ALNUM | of::UNDERSCORE, 15, 250, "salad"),
    Format("3MVG9", of::DOTTED | of::SLASH, 80, 251, "salesforce"),
    Format("samsara_api_", of::ALNUM, 30, 30, "samsara"),
    Format("SCW", of::CAPITALS, 17, 17, "scaleway"),
    Format("tk-us-", of::TOKEN, 48, 48, "scalingo"),
    Format("SG.", of::DOTTED, 60, 76, "sendgrid"),
    Format("sntrya_", of::BASE64 | of::UNDERSCORE, 60, ANY, "sentry"),
    Format("sntrys_", of::BASE64 | of::UNDERSCORE, 80, ANY, "sentry"),
    Format("sntryu_", of::HEX, 64, 64, "sentry"),
    Format("sm_aat_", of::ALNUM, 16, 16, "settlemint"),
    Format("sm_pat_", of::ALNUM, 16, 16, "settlemint"),
    Format("sm_sat_", of::ALNUM, 16, 16, "settlemint"),
    Format("shippo_live_", of::HEX, 40, 40, "shippo"),
    Format("shippo_test_", of::HEX, 40, 40, "shippo"),
    Format("shpat_", of::HEX, 32, 32, "shopify"),
    Format("shpca_", of::HEX, 32, 32, "shopify"),
    Format("shpit_", of::HEX, 32, 32, "shopify"),
    Format("shppa_", of::HEX, 32, 32, "shopify"),
    Format("shprt_", of::HEX, 32, 32, "shopify"),
    Format("shpss_", of::HEX, 32, 32, "shopify"),
    Format("shptka_", of::HEX, 32, 32, "shopify"),
    Format("shpua_", of::HEX, 32, 32, "shopify"),
    Format("shltm_", of::TOKEN, 40, 40, "shoutem"),
    Format("hooks.slack.com/services/", of::ALNUM | of::SLASH, 40, 60, "slack"),
    Format("hooks.slack.com/triggers/", of::ALNUM | of::SLASH, 30, 90, "slack"),
    Format("hooks.slack.com/workflows/", of::ALNUM | of::SLASH, 40, 90, "slack"),
    Format("xapp-", of::ALNUM | of::HYPHEN, 20, 150, "slack"),
    Format("xoxa-", of::ALNUM | of::HYPHEN, 16, 150, "slack"),
    Format("xoxb-", of::ALNUM | of::HYPHEN, 20, 150, "slack"),
    Format("xoxc-", of::ALNUM | of::HYPHEN, 20, 150, "slack"),
    Format("xoxd-", of::TOKEN | of::SLASH, 20, 400, "slack"),
    Format("xoxe-", of::ALNUM | of::HYPHEN, 20, 250, "slack"),
    Format("xoxe.xoxb-", of::ALNUM | of::HYPHEN, 20, 250, "slack"),
    Format("xoxe.xoxp-", of::ALNUM | of::HYPHEN, 20, 250, "slack"),
    Format("xoxo-", of::ALNUM | of::HYPHEN, 16, 150, "slack"),
    Format("xoxp-", of::ALNUM | of::HYPHEN, 20, 150, "slack"),
    Format("xoxr-", of::ALNUM | of::HYPHEN, 16, 150, "slack"),
    Format("xoxs-", of::ALNUM | of::HYPHEN, 16, 150, "slack"),
    Format("xwfp-", of::ALNUM | of::HYPHEN, 20, 150, "slack"),
    Format("snyk_sat.", of::DOTTED, 32, 120, "snyk"),
    Format("snyk_uat.", of::DOTTED, 32, 120, "snyk"),
    Format("sqa_", of::ALNUM, 40, 40, "sonar"),
    Format("sqp_", of::ALNUM, 40, 40, "sonar"),
    Format("squ_", of::ALNUM, 40, 40, "sonar"),
    Format("sgd_", of::HEX, 64, 64, "sourcegraph"),
    Format("sgp_", of::ALNUM | of::UNDERSCORE, 40, 64, "sourcegraph"),
    Format("slk_", of::HEX, 64, 64, "sourcegraph"),
    Format("EAAA", of::TOKEN, 22, 60, "square"),
    Format("sq0atp-", of::TOKEN, 22, 60, "square"),
    Format("sq0csp-", of::TOKEN, 40, 48, "square"),
    Format("sq0idp-", of::TOKEN, 22, 22, "square"),
    Format("sqco_", of::ALNUM, 59, 59, "square"),
    Format("pi_", of::ALNUM | of::UNDERSCORE, 50, 64, "stripe"),
    Format("rk_live_", of::ALNUM, 10, 255, "stripe"),
    Format("rk_prod_", of::ALNUM, 10, 110, "stripe"),
    Format("rk_test_", of::ALNUM, 10, 110, "stripe"),
    Format("seti_", of::ALNUM | of::UNDERSCORE, 50, 64, "stripe"),
    Format("sk_live_", of::ALNUM, 10, 255, "stripe"),
    Format("sk_org_", of::TOKEN, 24, 120, "stripe"),
    Format("sk_prod_", of::ALNUM, 10, 110, "stripe"),
    Format("sk_test_", of::ALNUM, 10, 110, "stripe"),
    Format("whsec_", of::BASE64, 24, 80, "stripe"),
    Format("secret-live-", of::TOKEN | of::EQUALS, 36, 48, "stytch"),
    Format("secret-test-", of::TOKEN | of::EQUALS, 36, 48, "stytch"),
    Format("sb_secret_", of::TOKEN, 20, 60, "supabase"),
    Format("sbp_", of::LOWER | of::DIGIT, 40, 40, "supabase"),
    Format("sbp_v0_", of::HEX, 40, 40, "supabase"),
    Format("tskey-", of::ALNUM | of::HYPHEN, 20, 80, "tailscale"),
    Format("tvly-", of::ALNUM | of::HYPHEN, 32, 48, "tavily"),
    Format("outlook.office.com/webhook/", of::TOKEN | of::SLASH, 30, 90, "teams"),
    Format("webhook.office.com/webhookb2/", of::TOKEN | of::SLASH, 30, 90, "teams"),
    Format("AKID", of::ALNUM, 32, 32, "tencent"),
    Format("THAA", of::ALNUM, 90, ANY, "threads"),
    Format("tss_", of::ALNUM, 40, 64, "thunderstore"),
    Format("tgp_v1_", of::TOKEN, 43, 43, "together"),
    Format("ATTA", of::HEX, 72, 72, "trello"),
    Format("tr_dev_", of::ALNUM, 20, 24, "trigger"),
    Format("tr_prod_", of::ALNUM, 20, 24, "trigger"),
    Format("SK", of::HEX, 32, 32, "twilio"),
    Format("AAAAAAAAAAAAAAAAAAAAA", of::ALNUM, 60, 110, "twitter"),
    Format("tfp_", of::DOTTED, 40, 59, "typeform"),
    Format("BBFF-", of::ALNUM, 30, 30, "ubidots"),
    Format("unkey_", of::ALNUM, 20, 30, "unkey"),
    Format("vtwn_", of::ALNUM, 27, 30, "valtown"),
    Format("hvb.", of::TOKEN, 100, 300, "vault"),
    Format("hvr.", of::TOKEN, 24, 300, "vault"),
    Format("hvs.", of::TOKEN, 24, 130, "vault"),
    Format("vca_", of::ALNUM, 50, 70, "vercel"),
    Format("vci_", of::ALNUM, 50, 70, "vercel"),
    Format("vck_", of::ALNUM, 50, 70, "vercel"),
    Format("vcp_", of::ALNUM, 50, 70, "vercel"),
    Format("vcr_", of::ALNUM, 50, 70, "vercel"),
    Format("VF.DM.", of::ALNUM | of::DOT, 41, 41, "voiceflow"),
    Format("VF.WS.", of::ALNUM | of::DOT, 41, 41, "voiceflow"),
    Format("AKLT", of::ALNUM, 40, 60, "volcengine"),
    Format("pa-", of::TOKEN, 43, 43, "voyage"),
    Format("waka_", of::HEX | of::HYPHEN, 36, 36, "wakatime"),
    Format("wandb_v1_", of::TOKEN, 60, 100, "wandb"),
    Format("ck_", of::HEX, 40, 40, "woocommerce"),
    Format("cs_", of::HEX, 40, 40, "woocommerce"),
    Format("wrkaus-", of::ALNUM, 40, 140, "workato"),
    Format("wrkeu-", of::ALNUM, 40, 140, "workato"),
    Format("xai-", of::ALNUM | of::UNDERSCORE, 70, 90, "xai"),
    Format("xau_", of::ALNUM, 43, 43, "xata"),
    Format("xnd_development_", of::ALNUM, 40, 70, "xendit"),
    Format("xnd_production_", of::ALNUM, 40, 70, "xendit"),
    Format("AQVN", of::TOKEN, 35, 38, "yandex"),
    Format("YC", of::TOKEN, 38, 38, "yandex"),
    Format("t1.", of::DOTTED, 90, ANY, "yandex"),
    Format("y0_", of::TOKEN, 50, 64, "yandex"),
    Format("hooks.zapier.com/hooks/catch/", of::ALNUM | of::SLASH, 12, 40, "zapier"),
    Format("zpka_", of::HEX | of::UNDERSCORE, 41, 41, "zuplo"),
];

fn all() -> impl Iterator<Item = &'static Format> {
    more::MORE.iter().chain(FORMATS)
}

/// The forms by their first two characters.
pub(crate) struct Formats(HashMap<[u8; 2], Vec<&'static Format>>);

impl Formats {
    pub(crate) fn new() -> Self {
        let mut known: HashMap<[u8; 2], Vec<&'static Format>> = HashMap::new();
        for format in all() {
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
        self.find(subject, start, |_| true)
    }

    /// The same where no word begins: behind a digit, or small letters behind a capital. What it begins with has to end in a
    /// sign then, and to have much behind it that chance has made.
    pub(crate) fn look_inside(&self, subject: &mut Subject<'_>, start: usize) -> Option<usize> {
        let before = class::before(subject.bytes, start);
        let first = subject.bytes[start];
        let is_apart = before.is_ascii_digit() || before.is_ascii_uppercase() && first.is_ascii_lowercase();
        let is_sure = |format: &Format| {
            let Format(prefix, _, least, ..) = format;
            let tail = &subject.bytes[start + prefix.len()..];
            prefix.len() >= 4
                && prefix.ends_with(['_', '-'])
                && *least >= INSIDE
                && is_random(&tail[..*least])
        };
        if is_apart { self.find(subject, start, is_sure) } else { None }
    }

    fn find(
        &self,
        subject: &mut Subject<'_>,
        start: usize,
        is_sure: impl Fn(&Format) -> bool,
    ) -> Option<usize> {
        let rest = &subject.bytes[start..];
        let known = self.0.get(rest.get(..2)?)?;
        let fits = |format: &&'static Format| {
            fit(format, rest).filter(|_| is_sure(format)).map(|length| (*format, length))
        };
        let (format, length) = known.iter().find_map(fits)?;
        let end = start + length;
        let value = &subject.text[start..end];
        let tail = &subject.bytes[start + format.0.len()..end];
        // What begins with sixteen characters of its own is what it says.
        let long = format.0.len() >= 16;
        let varied = entropy(tail) >= if format.2 <= 20 { 2.0 } else { 2.5 };
        let joined = format.0.len() <= 4 && matches!(class::before(subject.bytes, start), b'.' | b'-');
        let has = |kind: fn(&u8) -> bool| tail.iter().any(kind);
        let mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
        let spelled = !(mixed || has(u8::is_ascii_digit));
        // Letters of one case may be words, and what begins with a single letter may be a name of code.
        let worded = spelled && (has(|byte| matches!(byte, b'_' | b'-')) || !is_jumbled(tail, false))
            || format.0 == "s." && !(is_random(tail) && is_jumbled(tail, false));
        if !long && (!varied || joined || worded || is_placeholder(value)) {
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

/// One credential of each form, and whose it is.
#[cfg(test)]
pub(crate) fn samples() -> impl Iterator<Item = (String, &'static str)> {
    all().map(|Format(prefix, set, least, _, whose)| {
        let among: Vec<u8> = (b'!'..=b'~').filter(|byte| of::is(*byte, *set)).collect();
        let words: Vec<u8> = among.iter().copied().filter(|byte| class::is_word(*byte)).collect();
        // No set has a multiple of 29 characters, so that each comes before one comes again.
        let tail = (0..*least).map(|at| {
            if at + 1 == *least { words[at * 29 % words.len()] } else { among[at * 29 % among.len()] }
        });
        let tail = String::from_utf8(tail.collect()).expect("ASCII");
        (format!("{prefix}{tail}"), *whose)
    })
}
