//! The words around a value: a number is a phone number because `tel.` stands before it.
//!
//! Words are looked at only where there is a candidate, so that text without any costs nothing here. A word stands for a
//! set of topics, one bit each; of keys in JSON, each part counts (`customer_phone`, `phoneNumber`).

use foldhash::{HashMap, HashMapExt};

use crate::text::class::{CLASS, DIGIT, LOWER, UPPER, WIDE};
use crate::text::filter::Filter;

/// Topics, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Topics(u64);

impl Topics {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const PHONE: Self = Self(1);
    pub(crate) const CARD: Self = Self(1 << 1);
    pub(crate) const BANK: Self = Self(1 << 2);
    pub(crate) const BIRTH: Self = Self(1 << 3);
    pub(crate) const PASSPORT: Self = Self(1 << 4);
    /// A number of a person, with a state.
    pub(crate) const IDENTITY: Self = Self(1 << 5);
    /// `id`, `number`: of whatever.
    pub(crate) const NUMBER: Self = Self(1 << 6);
    /// A number of something else: an order, a version.
    pub(crate) const OTHER: Self = Self(1 << 7);
    pub(crate) const PASSWORD: Self = Self(1 << 8);
    pub(crate) const SECRET: Self = Self(1 << 9);
    pub(crate) const NAME: Self = Self(1 << 10);
    pub(crate) const ADDRESS: Self = Self(1 << 11);
    pub(crate) const VERSION: Self = Self(1 << 12);
    pub(crate) const KEY: Self = Self(1 << 13);
    /// Who a name may be of: `customer`, `first`.
    pub(crate) const WHO: Self = Self(1 << 14);
    /// A vendor whose credentials have no form of their own.
    pub(crate) const VENDOR: Self = Self(1 << 15);
    /// What may be about a telephone, where a number is written like one.
    pub(crate) const REACH: Self = Self(1 << 16);

    /// Those that name a kind of number.
    pub(crate) const KINDS: Self = Self::PHONE
        .or(Self::CARD)
        .or(Self::BANK)
        .or(Self::BIRTH)
        .or(Self::PASSPORT)
        .or(Self::IDENTITY)
        .or(Self::OTHER)
        .or(Self::VERSION);

    /// The bits of all [`COUNTRIES`], without that for identifiers.
    pub(crate) const COUNTRIES: Self = Self(((1 << COUNTRIES.len()) - 1) << FIRST_COUNTRY);

    /// The identifiers of one country; see [`COUNTRIES`].
    pub(crate) const fn country(code: &str) -> Self {
        let code = code.as_bytes();
        let mut at = 0;
        while at < COUNTRIES.len() {
            let known = COUNTRIES[at].as_bytes();
            if known[0] == code[0] && known[1] == code[1] {
                return Self(1 << (at + FIRST_COUNTRY) | Self::IDENTITY.0);
            }
            at += 1;
        }
        panic!("no such country");
    }

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether they have all of these.
    pub(crate) const fn has(self, topics: Self) -> bool {
        self.0 & topics.0 == topics.0
    }

    /// Whether they have any of these.
    pub(crate) const fn any(self, topics: Self) -> bool {
        self.0 & topics.0 != 0
    }
}

/// The bit of the first of [`COUNTRIES`].
const FIRST_COUNTRY: usize = 20;

/// Those whose identifiers are known.
const COUNTRIES: [&str; 32] = [
    "AT", "BE", "BG", "HR", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HU", "IE", "IT", "LT",
    "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK", "GB", "US", "CH", "NO", "IS",
];

const PHONE: &str = "phone contact reach phones telephone tel tel. mobile cell cellphone fax call calling dial telefon telefono \
    téléphone telefone telefoonnummer telefonnummer handy handynummer mobil mobilnummer mobilnr telefoon gsm whatsapp sms hotline \
    puhelin puhelinnumero tlf tlf. móvil movil portable cellulare rufnummer durchwahl voicemail msisdn office switchboard telefonszám \
    телефон τηλέφωνο telefón telefoninumber tālrunis telefonas ring text phonenumber";
const REACH: &str = "number numbers message messages line lines sim handset handsets cellular landline texts texted calls called \
    dialed dialled rang ringing reached reachable contacted blocked numéro número nummer numero";
const CARD: &str = "card charge charged cards visa mastercard amex credit debit pan cc karte kreditkarte kartennummer carte tarjeta \
    carta creditcard cardnumber ccnum maestro discover payment kreditkort kaart luottokortti karta";
const BANK: &str = "iban bank account konto kontonummer bic swift sepa";
const BIRTH: &str = "born birth dob birthday birthdate birthdays geboren geburtsdatum geb geb. naissance née né nacimiento \
    nacido nacida nascita nato nata geboortedatum født född fødselsdato födelsedatum urodzenia urodzony urodzona \
    ur. narození narozen születési született dateofbirth bday nascimento nascido syntymäaika syntynyt rojstva \
    rođenja naștere născut dob: γέννησης раждане dzimšanas gimimo sünniaeg narodenia";
const PASSPORT: &str = "passport passports passeport pasaporte passaporto reisepass reisepassnummer paspoort paszport \
    passaporte passnummer pasport pasaport paspoortnummer passi pas útlevél паспорт διαβατήριο passportno passnr \
    passportnumber potni putovnica";
const IDENTITY: &str = "national identity identification citizen tax taxpayer tin nationalid identité identidad ausweis \
    ausweisnummer identifikationsnummer personalnummer nid idnumber identità identiteit taxid insurance fiscal";
const NUMBER: &str = "id number no nr no. nr. nummer numéro numero número ident personal person";
const OTHER: &str = "order orders invoice invoices sku commit build trace span request ticket tickets tracking isbn ean upc \
    gtin batch serial product part item quantity amount total price revision sha hash checksum timestamp epoch offset \
    size bytes length count seed port pid line row rows page latitude longitude lat lng lon coordinates bestellung \
    rechnung bestellnummer rechnungsnummer case incident issue transaction reference ref sequence session shipment parcel \
    version milliseconds ms seconds duration";
const VERSION: &str = "version versions release firmware build v ver driver oid section chapter kernel upgrade upgraded \
    changelog";
const PASSWORD: &str = "password passwd pwd pass passphrase passwort kennwort contraseña motdepasse senha wachtwoord \
    passcode passw userpassword dbpassword mdp lösenord hasło heslo";
const SECRET: &str = "secret secrets token tokens apikey api_key credential credentials auth authtoken accesskey \
    secretkey accesstoken clientsecret apitoken authkey privatekey bearer authorization apisecret passkey \
    client_secret secret_key connectionstring signature sig creds jwt pat webhook webhooks";
const KEY: &str = "key keys api access license salt hmac sas schlüssel clave clef chiave";
const NAME: &str = "name fullname firstname lastname surname givenname familyname vorname nachname nom prénom prenom nombre \
    apellido apellidos nome cognome naam achternaam voornaam displayname middlename maidenname imię nazwisko namn efternamn \
    förnamn navn";
const WHO: &str = "customer client patient employee contact person owner author recipient sender user first last full \
    given family middle maiden display holder cardholder member manager assignee reporter guest passenger beneficiary payee \
    applicant candidate student teacher doctor attendee signer legal account driver insured tenant subscriber buyer seller \
    kunde inhaber vor nach";
const ADDRESS: &str = "address street addresses adresse anschrift straße strasse adres dirección direccion indirizzo \
    endereço streetaddress addressline address1 address2 billingaddress shippingaddress homeaddress adress osoite";

const NATIONAL: &[(&str, &str)] = &[
    ("AT", "svnr sozialversicherungsnummer versicherungsnummer sv-nummer abgabenkontonummer abgabenkonto"),
    ("BE", "rijksregisternummer rijksregister rrn niss insz registre"),
    ("BG", "egn егн лнч lnch"),
    ("HR", "oib"),
    ("CY", "tic"),
    ("CZ", "rodné rodne rč rc birthnumber rodného"),
    ("SK", "rodné rodne rč rc rodného"),
    (
        "DE",
        "steuer-id steuerid idnr steueridentifikationsnummer steuernummer identifikationsnummer personalausweis \
         personalausweisnummer rentenversicherungsnummer rvnr svnr sozialversicherungsnummer versicherungsnummer steuer perso \
         ausweisnummer",
    ),
    ("DK", "cpr cpr-nummer cprnr personnummer"),
    ("EE", "isikukood"),
    ("ES", "dni nie nif"),
    ("FI", "hetu henkilötunnus henkilotunnus"),
    ("FR", "nir insee sécurité securite sociale spi numéro_fiscal fiscal"),
    ("GR", "amka αμκα afm αφμ"),
    ("HU", "taj adóazonosító adoazonosito  adószám"),
    ("IE", "pps ppsn"),
    ("IT", "codice fiscale codicefiscale codice_fiscale cf"),
    ("LT", "asmens"),
    ("LU", "matricule"),
    ("LV", "personas"),
    ("MT", "karta"),
    ("NL", "bsn burgerservicenummer sofinummer"),
    ("PL", "pesel nip  dowód"),
    ("PT", "nif contribuinte cidadão cidadao  niss"),
    ("RO", "cnp  numeric"),
    ("SE", "personnummer samordningsnummer  pnr"),
    ("SI", "emšo emso davčna davcna"),
    ("GB", "nino nhs national_insurance insurance utr"),
    ("US", "ssn social itin security ssns"),
    ("CH", "ahv avs  ahv-nummer oasi"),
    ("NO", "fødselsnummer fodselsnummer fnr personnummer"),
    ("IS", "kennitala"),
];

const VENDOR: &str = "adafruit adobe airtable algolia alibaba asana atlassian authress beamer bitbucket bittrex cloudflare codecov \
    cohere coinbase confluent contentful databricks datadog dronecidrone droneci dropbox easypost etsy facebook \
    fastly finicity finnhub flickr freshbooks freemius gitter gocardless grafana heroku hubspot infracost intercom \
    jfrog artifactory bintray jira kraken kucoin launchdarkly linear linkedin lob looker mailchimp mailgun mapbox \
    mattermost messagebird netlify newrelic new_relic nytimes newyorktimes okta openai plaid privateai rapidapi \
    sendbird sentry sidekiq snyk sonar sourcegraph squarespace square sumologic sumo travisci travis trello twitch \
    twitter yandex zendesk nyt duffel discord doppler defined digitalocean cisco meraki clickhouse clojars octopus \
    paypal shopify slack telegram tines vonage pagerduty firebase azure aws gcp google github gitlab stripe twilio \
    anthropic braintree aiven auth0 bamboo circleci coveralls crowdin dynatrace fullstory hashicorp vault honeycomb \
    mandrill mixpanel notion opsgenie pusher rollbar segment sparkpost splunk supabase vercel zapier zoom perplexity \
    maxmind newyork miro mistral adyen amplitude apify baidu bitly buildkite calendly clickup cloudinary codacy \
    convertkit crowdstrike deepgram deepl docusign elevenlabs eventbrite figma firecrawl foursquare freshdesk giphy \
    groq hetzner huawei ipinfo iterable jotform klaviyo langfuse langsmith linode livekit loggly mailjet netsuite \
    newsapi ngrok nylas openrouter openweathermap patreon pinecone pinterest pipedrive plivo posthog postmark qdrant \
    quickbooks razorpay recurly replicate salesforce scaleway sendgrid servicenow shippo sinch smartsheet snowflake \
    spotify statuspage storyblok strapi surveymonkey tavily tencent tiktok todoist toggl typeform unsplash \
    uploadcare upstash vultr wakatime weaviate webflow wistia woocommerce workos wrike xero yelp zoho abuseipdb \
    accuweather adzuna airbrake airvisual alienvault anypoint apideck apilayer appcues assemblyai autodesk \
    aviationstack aylien azuredevops bannerbear betterstack bitfinex bitmex blazemeter braintrust browserstack \
    bugsnag calendarific censys checkly clarifai clearbit clickhelp clockify cloudconvert cloudmersive cloudsmith \
    codeclimate codemagic coinapi coinlib commercejs convertapi couchbase cryptocompare currencylayer deepai \
    deepseek detectify diffbot disqus dockerhub dotdigital dwolla edamam elasticemail endorlabs etherscan ethplorer \
    everhour exchangerate faceplusplus fibery fixerio fleetbase flexport flutterwave flyio frameio geckoboard \
    geoapify geocodio getresponse glassnode gocanvas godaddy graphcms graphhopper gtmetrix gumroad gyazo hasura \
    hellosign helpscout huggingface ibmcloud iexcloud imagekit imagga infura instamojo intrinio ipapi ipgeolocation \
    ipstack jumpcloud kickbox larksuite leadfeeder lemlist lemonsqueezy livestorm logentries logzio lokalise \
    mailerlite mapquest marketstack metaapi microsoftteams mixmax moosend moralis nasdaqdatalink newscatcher nexmo \
    npmjs nuget nutritionix nvidia oanda octopusdeploy omnisend onelogin onesignal onfleet opencage openvpn \
    openweather optimizely packagecloud pagarme pandadoc parsehub pastebin paymongo paystack pepipost photoroom \
    pipedream pivotaltracker pixabay planetscale podio poloniex portainer postman prefect pubnub pulumi pushbullet \
    pushover qualtrics rabbitmq rebrandly redislabs ringcentral rootly rubygems runpod samsara saucelabs scraperapi \
    scrapingbee sendinblue brevo serpapi serpstack shodan shotstack shutterstock signalwire smartystreets snipcart \
    sonarcloud sonarqube spoonacular sqreen statuscake stormglass strava streamlabs stytch surveysparrow swiftype \
    tableau tailscale taxjar telnyx terraform thinkific ticketmaster tiingo tomtom tradier transferwise tripadvisor \
    twelvedata tyntec ubidots uptimerobot urlscan valtown veriphone virustotal visualcrossing voiceflow walkscore \
    weatherbit weatherstack webex wandb wepay xai youtube zenrows zenserp zeplin zerobounce zerotier zipcodeapi \
    binance bitstamp bybit coinmarketcap gemfury gitea gitguardian grafbase inngest instagram whatsapp kaggle \
    keycloak kinde mercadopago mollie nightfall nordigen onfido printful resend revolut scalingo sentinelone \
    skyscanner truelayer turso uipath unkey uploadthing volcengine voyageai wolframalpha workato wordpress xendit \
    zuora abyssale aeroworkflow aftership airship alconost alegra aletheiaapi alphavantage amadeus apacta apiflash \
    apifonica apimatic apimetrics apitemplate appfollow appointedd appsynergy apptivo appveyor autoklose avaza \
    axonaut ayrshare baremetrics beebole besnappy billomat bigcommerce bitbar bitcoinaverage bitrise blitapp \
    blocknative bombbomb boostnote borgbase brandfetch brightdata browshot browserless browserbase bscscan buddyns \
    budibase bugherd bulksms bunnycdn buttercms calorieninja campayn capsulecrm captaindata carboninterface cashfree \
    caspio centralstation cexio chargebee chartmogul chatfuel checkvist checkmarx chorus clevertap clicksend \
    clickatell cliengo clientary clinchpad clockworksms closecrm cloudelements cloudimage cloudplan cloverly \
    clustdoc codequiry coinlayer companyhub conekta configcat convier countrylayer craftmypdf cronitor currencyapi \
    currencycloud currencyfreaks currencyscoop currentsapi customerio cyberark dailyco dareboost datocms debounce \
    deepinfra deepsource demio descope detectlanguage dialpad diggernaut directus dnscheck docparser documo dovico \
    dronahq duply dynalist dyspatch eagleeyenetworks easyinsight easyship ecostruxureit edenai enablex exportsdk \
    extractorapi fastforex fastspring feedier fetchrss fileio filestack findl flagsmith flightapi flightlabs \
    flightstats flowflu fmfw formbucket formcraft formio formsite freshworks frontegg fulcrum fusionauth fxmarket \
    gengo geocodify getemail getemails getgeoapi getgist getstream gnews goodday groovehq growthbook gupshup \
    happyscribe helicone helpcrunch hereapi hiveage holidayapi hotjar hubapi humanloop hybiscus hypertrack \
    iconfinder ideogram iexapis imgix infisical infobip instabot interseller invoiceocean ipdata ipify ipinfodb \
    ipqualityscore iyzico jupiterone juro kanbantool karmacrm keenio keycdn klarna klipfolio knapsackpro koyeb \
    kustomer kylas languagelayer lendflow lexigram linenotify linkpreview liveagent llamacloud loadmill locationiq \
    loginradius logicmonitor logrocket logtail loyverse lunchmoney madkudu magicbell mailboxlayer mailersend \
    mailmodo mailsac mavenlink meaningcloud mediastack meistertask mergify mesibo messagemedia metrilo midtrans \
    mindmeister mockaroo moengage moonclerk mparticle mrticktock musixmatch myintervals nethunt neutrinoapi newsdata \
    nftport nicereply northflank nozbe numverify omdb omise onedesk onepagecrm oopspam opencagedata openuv owlbot \
    oxylabs pagseguro pandascore paperform papertrail paralleldots partnerstack paydirt paymo paytm payu pdflayer \
    pdfshift peopledatalabs pexels pinata pingdom planview planyo plausible pollsapi portkey positionstack \
    postageapp powrbot printify prismic prodpad promptlayer prospectcrm proxycrawl purestake qase qiniu qualaroo \
    quandl qubole railway rawg reachmail refiner rentman repairshopr replyio requestfinance restpack revampcrm \
    riotgames ritekit rocketreach route4me rownd rudderstack runrunit runwayml sailthru salesblink salescookie \
    salesflare salesmate sambanova satismeter scalr scrapeowl scraperbox scrapestack scrapfly scrapingant \
    screenshotapi screenshotlayer scrutinizer securitytrails selectel selectpdf semgrep sendcloud serper serphouse \
    sheety sherpadesk shipday shipengine shipstation signalfx signaturit signupgenius sigopt simfin simplesat \
    simplynoted simvoly sirv siteleaf skrapp skybiometry smartproxy smooch smtp2go solarwinds sonatype sportsmonk \
    sslmate stabilityai stackhawk statsig statuspal stitchdata stockdata storecove stormboard storychief sugester \
    supernotes supertokens surveybot survicate tallyfy tatum tatumio teamgate teamtailor teamwork tefter teletype \
    testingbot textmagic theoddsapi thousandeyes tickettailor timecamp timezoneapi tmdb tmetric tokeet tomorrowio \
    traceloop travelpayouts typesense typetalk uclassify unplugg upcdatabase uplead upyun userflow userstack vagrant \
    vatlayer vbout verimail veracode versioneye viewneo voodoosms vouchery vpnapi weatherapi webengage webscraper \
    webscraping websitepulse wechat whatthreewords whoxy worksnaps workstack worldcoinindex worldpay worldweather \
    wunderground youneedabudget yotpo yousign zenkit zenscrape zilliz zipbooks zipcodebase zonka zyte aliyun \
    alicloud dingtalk feishu weixin ovh upcloud exoscale ionos equinix launchnotes bluesnap chargify cybersource \
    saltedge yodlee belvo dlocal kushki codefresh semaphoreci signnow calcom \
    activecampaign aikido airwallex akamai alchemyapi allsports ambee appdynamics atera authorizenet \
    avalara aweber bamboohr baseten bitget bitgo bitpay braze brex brightcove bungie cannyio canva \
    chainstack cockroachlabs coingecko constantcontact contribsys coveo coze curseforge \
    customerguru dailymotion dashscope datagov deezer deribit devcycle dialogflow discogs doordash \
    elasticcloud eloqua envoyapi eodhd expensify fireblocks fireworksai finage financialmodelingprep \
    fullcontact gainsight gateio geoipifi geonames gorgias hcaptcha helius helpshift hibob highnote \
    huobi igdb imgur insightly instacart instana jdcloud jwplayer kakao kayako kontent langchain lastfm \
    leanplum lichess localstack logdna logfire marketo mercadolibre messari mexc mezmo modrinth monkeylearn \
    naver nebius novita okx olark overloop palantir pardot payoneer paysafe pendo personio \
    proctorio quicknode rapyd raygun recaptcha redhat replit roblox sematext sezzle shopee \
    siliconflow sindri skrill softlayer soundcloud stripo surveyanyplace themoviedb thirdweb togetherai \
    trakt tvdb twocaptcha unifyid uniwise upbit upwave vimeo vkontakte voicegain vyte walletconnect zhipu \
    zoominfo zuplo";

/// What words stand for.
pub(crate) struct Words {
    words: HashMap<String, Topics>,
    /// Those of them that are ASCII.
    ascii: Filter<1024>,
}

/// How far words count, in bytes.
const BEFORE: usize = 64;
const AFTER: usize = 28;

impl Words {
    pub(crate) fn new() -> Self {
        let mut words = HashMap::new();
        let mut add = |list: &str, topics: Topics| {
            for word in list.split_ascii_whitespace() {
                let known = words.entry(word.trim_end_matches(['.', ':']).to_owned()).or_insert(Topics::NONE);
                *known = known.or(topics);
            }
        };
        add(PHONE, Topics::PHONE);
        add(REACH, Topics::REACH);
        add(CARD, Topics::CARD);
        add(BANK, Topics::BANK);
        add(BIRTH, Topics::BIRTH);
        add(PASSPORT, Topics::PASSPORT);
        add(IDENTITY, Topics::IDENTITY);
        add(NUMBER, Topics::NUMBER);
        add(OTHER, Topics::OTHER);
        add(VERSION, Topics::VERSION);
        add(PASSWORD, Topics::PASSWORD);
        add(SECRET, Topics::SECRET);
        add(KEY, Topics::KEY);
        add(NAME, Topics::NAME);
        add(WHO, Topics::WHO);
        add(ADDRESS, Topics::ADDRESS);
        add(VENDOR, Topics::VENDOR);
        for (country, list) in NATIONAL {
            add(list, Topics::country(country));
        }
        let mut ascii = Filter::new();
        words.keys().filter(|word| word.is_ascii()).for_each(|word| ascii.add(word));
        Self { words, ascii }
    }

    /// What stands around the bytes from `start` to `end`.
    pub(crate) fn around(&self, text: &str, start: usize, end: usize) -> Topics {
        self.before(text, start).or(self.of(&text[end..ceil(text, end + AFTER)]))
    }

    /// What stands before `start`, in the same line and the one before.
    pub(crate) fn before(&self, text: &str, start: usize) -> Topics {
        self.of(&text[floor(text, start.saturating_sub(BEFORE))..start])
    }

    /// The topics of the last word before `start` that names a kind of number.
    pub(crate) fn nearest(&self, text: &str, start: usize) -> Topics {
        let mut nearest = Topics::NONE;
        self.each(&text[floor(text, start.saturating_sub(BEFORE))..start], |topics| {
            if topics.any(Topics::KINDS) {
                nearest = topics;
            }
        });
        nearest
    }

    /// The topics of all words of a key or text.
    pub(crate) fn of(&self, text: &str) -> Topics {
        let mut all = Topics::NONE;
        self.each(text, |topics| all = all.or(topics));
        all
    }

    /// Whether two words of a name are a vendor's together: `new_relic`, `DigitalOcean`.
    pub(crate) fn of_pairs(&self, name: &str) -> Topics {
        let bytes = name.as_bytes();
        let is_letter = |at: usize| CLASS[usize::from(bytes[at])] & (LOWER | UPPER) != 0;
        let (mut pair, mut length, mut split) = ([0; 32], 0, None);
        let mut found = Topics::NONE;
        let mut at = 0;
        while at < bytes.len() {
            if !is_letter(at) {
                at += 1;
                continue;
            }
            let start = at;
            let is_next = |at: usize| bytes[at].is_ascii_uppercase() && bytes[at - 1].is_ascii_lowercase();
            while at < bytes.len() && is_letter(at) && (at == start || !is_next(at)) {
                at += 1;
            }
            // The word before, and this one behind it.
            if let Some(from) = split {
                pair.copy_within(from..length, 0);
                length -= from;
            }
            split = Some(length);
            let Some(place) = pair.get_mut(length..length + at - start) else { return found };
            place.copy_from_slice(&bytes[start..at]);
            length += at - start;
            if let Ok(both) = std::str::from_utf8(&pair[..length]) {
                found =
                    found.or(if self.word(both).has(Topics::VENDOR) { Topics::VENDOR } else { Topics::NONE });
            }
        }
        found
    }

    fn each(&self, text: &str, mut told: impl FnMut(Topics)) {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if CLASS[bytes[at] as usize] & (LOWER | UPPER | WIDE) == 0 {
                at += 1;
                continue;
            }
            let start = at;
            let mut all = 0;
            // `v` and `VISA` are words, and so are `card` and `Number` in `cardNumber`.
            while at < bytes.len() && CLASS[bytes[at] as usize] & (LOWER | UPPER | WIDE | DIGIT) != 0 {
                let class = CLASS[bytes[at] as usize];
                if class & UPPER != 0 && at > start && CLASS[bytes[at - 1] as usize] & LOWER != 0 {
                    break;
                }
                all |= class;
                at += 1;
            }
            if all & WIDE != 0 || self.ascii.may_have(bytes, start, at - start) {
                told(self.word(&text[start..at]));
            }
        }
    }

    /// The topics of one word, letter case aside.
    pub(crate) fn word(&self, word: &str) -> Topics {
        let bytes = word.as_bytes();
        if word.is_ascii() {
            let mut lower = [0; 32];
            let Some(lower) = lower.get_mut(..bytes.len()) else { return Topics::NONE };
            lower.copy_from_slice(bytes);
            lower.make_ascii_lowercase();
            return std::str::from_utf8(lower).ok().map_or(Topics::NONE, |lower| self.get(lower));
        }
        self.get(&word.to_lowercase())
    }

    fn get(&self, lower: &str) -> Topics {
        self.words.get(lower).copied().unwrap_or(Topics::NONE)
    }
}

/// The boundary of a character at or before `at`.
pub(crate) fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}

/// The boundary of a character at or after `at`.
pub(crate) fn ceil(text: &str, at: usize) -> usize {
    text.ceil_char_boundary(at)
}
