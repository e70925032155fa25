//! Who we are to a cloud: from its usual environment variables and files. Nothing found here is ever shown or kept.
//!
//! `object_store` knows instance metadata, web identities, Google's files and more; what it does not read is read here:
//! `~/.aws/credentials` and `~/.aws/config`, Azure's connection string, `~/.netrc`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};

/// Where to look.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The environment variables.
    pub variables: BTreeMap<String, String>,
}

impl Settings {
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn has(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.variable(name).is_some())
    }

    fn home(&self, below: &str) -> Option<PathBuf> {
        self.variable("HOME").map(|home| Path::new(home).join(below))
    }

    /// A file of settings, where a variable or else its usual place names one.
    fn file(&self, variable: &str, usual: &str) -> Option<String> {
        let path = self.variable(variable).map(PathBuf::from).or_else(|| self.home(usual))?;
        std::fs::read_to_string(path).ok()
    }

    /// The variables that begin with this and that a cloud knows.
    fn known<'s, K: FromStr + 's>(&'s self, begins: &'static str) -> impl Iterator<Item = (K, &'s str)> {
        let of = self.variables.iter().filter(move |(name, value)| name.starts_with(begins) && !value.is_empty());
        of.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.as_str())))
    }
}

/// S3.
pub(super) fn amazon(settings: &Settings) -> Result<AmazonS3Builder, String> {
    let mut builder = AmazonS3Builder::new();
    let profile = settings.variable("AWS_PROFILE").unwrap_or("default");
    let config = settings.file("AWS_CONFIG_FILE", ".aws/config").unwrap_or_default();
    let section = if profile == "default" { profile.to_owned() } else { format!("profile {profile}") };
    let config = ini(&config, &section);
    let secrets = settings.file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials").unwrap_or_default();
    let secrets = ini(&secrets, profile);
    if settings.has(&["AWS_PROFILE"]) && config.is_empty() && secrets.is_empty() {
        return Err(format!("AWS_PROFILE names `{profile}`, which neither ~/.aws/credentials nor ~/.aws/config has"));
    }
    for (from, to) in [("region", AmazonS3ConfigKey::Region), ("endpoint_url", AmazonS3ConfigKey::Endpoint)] {
        if let Some(value) = config.get(from).or_else(|| secrets.get(from)) {
            builder = builder.with_config(to, value);
        }
    }
    let elsewhere = [
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ];
    if settings.has(&["AWS_PROFILE"]) || !settings.has(&elsewhere) {
        let keys = [
            ("aws_access_key_id", AmazonS3ConfigKey::AccessKeyId),
            ("aws_secret_access_key", AmazonS3ConfigKey::SecretAccessKey),
            ("aws_session_token", AmazonS3ConfigKey::Token),
        ];
        for (from, to) in keys {
            if let Some(value) = secrets.get(from).or_else(|| config.get(from)) {
                builder = builder.with_config(to, value);
            }
        }
    }
    for (key, value) in settings.known("AWS_") {
        builder = builder.with_config(key, value);
    }
    // The variable for S3 alone wins, as in Amazon's own tools.
    if let Some(endpoint) = settings.variable("AWS_ENDPOINT_URL_S3") {
        builder = builder.with_endpoint(endpoint);
    }
    Ok(builder)
}

/// Azure Blob Storage.
pub(super) fn azure(settings: &Settings) -> Result<MicrosoftAzureBuilder, String> {
    let mut builder = MicrosoftAzureBuilder::new();
    for (key, value) in settings.known("AZURE_") {
        builder = builder.with_config(key, value);
    }
    // The names that Azure's own command line reads.
    for (name, key) in [
        ("AZURE_STORAGE_ACCOUNT", AzureConfigKey::AccountName),
        ("AZURE_STORAGE_KEY", AzureConfigKey::AccessKey),
        ("AZURE_STORAGE_SAS_TOKEN", AzureConfigKey::SasKey),
    ] {
        if let Some(value) = settings.variable(name) {
            builder = builder.with_config(key, value);
        }
    }
    let connection = settings.variable("AZURE_STORAGE_CONNECTION_STRING");
    if let Some(text) = connection {
        let fields = connection_string(text)?;
        let get = |name: &str| fields.get(&name.to_ascii_lowercase()).map(String::as_str);
        if let Some(account) = get("AccountName") {
            builder = builder.with_account(account);
        }
        if let Some(key) = get("AccountKey") {
            builder = builder.with_access_key(key);
        }
        if let Some(signature) = get("SharedAccessSignature") {
            builder = builder.with_config(AzureConfigKey::SasKey, signature);
        }
        let suffix = get("EndpointSuffix").filter(|suffix| *suffix != "core.windows.net");
        if let Some(endpoint) = get("BlobEndpoint") {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        } else if let (Some(suffix), Some(account)) = (suffix, get("AccountName")) {
            let protocol = get("DefaultEndpointsProtocol").unwrap_or("https");
            builder = builder.with_endpoint(format!("{protocol}://{account}.blob.{suffix}"));
        }
    } else {
        let named = ["AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"];
        if !settings.has(&named) {
            return Err(
                "names no storage account: set AZURE_STORAGE_ACCOUNT or AZURE_STORAGE_CONNECTION_STRING".to_owned()
            );
        }
        let given = [
            "AZURE_STORAGE_KEY",
            "AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_STORAGE_ACCESS_KEY",
            "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_STORAGE_SAS_KEY",
            "AZURE_STORAGE_TOKEN",
            "AZURE_CLIENT_SECRET",
            "AZURE_STORAGE_CLIENT_SECRET",
            "AZURE_FEDERATED_TOKEN_FILE",
            "IDENTITY_ENDPOINT",
        ];
        // Somebody who is logged in with Azure's command line, and nothing else is given.
        if !settings.has(&given) && settings.home(".azure/azureProfile.json").is_some_and(|file| file.is_file()) {
            builder = builder.with_use_azure_cli(true);
        }
    }
    Ok(builder)
}

/// Google Cloud Storage; its file of default credentials is found by `object_store`.
pub(super) fn google(settings: &Settings) -> GoogleCloudStorageBuilder {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (key, value) in settings.known::<GoogleConfigKey>("GOOGLE_") {
        builder = builder.with_config(key, value);
    }
    builder
}

/// What a web server is told of who asks: `AMLRUN_CACHE_TOKEN`, the address's own user and password, or those of `~/.netrc`.
pub(super) fn web(settings: &Settings, url: &str, login: Option<&str>) -> Option<String> {
    let basic = |login: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login));
    if let Some(token) = settings.variable("AMLRUN_CACHE_TOKEN") {
        return Some(format!("Bearer {token}"));
    }
    if let Some(login) = login {
        return Some(basic(&decoded(login)));
    }
    let host = url.split_once("://")?.1.split(['/', ':']).next()?;
    netrc(&settings.file("NETRC", ".netrc")?, host).map(|login| basic(&login))
}

/// `%40` and the like.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let (b'%', Some(byte)) = (first, hex) {
            bytes.push(byte);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `user:password` of a host in a netrc file.
fn netrc(text: &str, host: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    let (mut ours, mut login, mut password) = (false, None, None);
    while let Some(word) = words.next() {
        match word {
            "machine" | "default" => {
                if ours {
                    break;
                }
                ours = word == "default" || words.next() == Some(host);
            }
            "login" if ours => login = words.next(),
            "password" if ours => password = words.next(),
            _ => {}
        }
    }
    Some(format!("{}:{}", login?, password?)).filter(|_| ours)
}

/// The keys of one section of an INI file.
fn ini(text: &str, section: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut inside = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            inside = name.split_whitespace().eq(section.split_whitespace());
        } else if inside && let Some((key, value)) = line.split_once('=') {
            found.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

/// The fields of a connection string, by lower-case names.
fn connection_string(text: &str) -> Result<BTreeMap<String, String>, String> {
    let field = |part: &str| match part.split_once('=') {
        Some((name, value)) => Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned())),
        // The part itself may be a piece of a key: it is not shown.
        None => Err("cannot be used: AZURE_STORAGE_CONNECTION_STRING has a part without `=`".to_owned()),
    };
    text.split(';').filter(|part| !part.trim().is_empty()).map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_their_owners_read_them() {
        let text = "[default]\naws_access_key_id = a\n# no\n[ profile  x ]\nregion=eu\n";
        assert_eq!(ini(text, "default").get("aws_access_key_id").map(String::as_str), Some("a"));
        assert_eq!(ini(text, "profile x").get("region").map(String::as_str), Some("eu"));
        assert!(ini(text, "y").is_empty());
        let netrc_text = "machine a login u password p\nmachine b\n login v\n password q\ndefault login w password r";
        assert_eq!(netrc(netrc_text, "a").as_deref(), Some("u:p"));
        assert_eq!(netrc(netrc_text, "b").as_deref(), Some("v:q"));
        assert_eq!(netrc(netrc_text, "c").as_deref(), Some("w:r"));
        assert_eq!(netrc("machine a login u password p", "c"), None);
        let fields = connection_string("AccountName=x;AccountKey=ab==;BlobEndpoint=http://h/x;").unwrap();
        assert_eq!(fields["accountkey"], "ab==");
        assert!(connection_string("secret").is_err_and(|why| !why.contains("secret")));
        assert_eq!(decoded("a%40b%"), "a@b%");
    }

    #[test]
    fn a_token_comes_before_a_login() {
        let mut settings = Settings::default();
        assert_eq!(web(&settings, "https://h/x", None), None);
        assert_eq!(web(&settings, "https://h/x", Some("u:p")).as_deref(), Some("Basic dTpw"));
        settings.variables.insert("AMLRUN_CACHE_TOKEN".to_owned(), "t".to_owned());
        assert_eq!(web(&settings, "https://h/x", Some("u:p")).as_deref(), Some("Bearer t"));
    }
}
