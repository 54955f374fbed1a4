//! How requests are signed.

use std::path::PathBuf;
use std::time::Duration;

use insta::assert_snapshot;

use super::*;

fn with_auth(auth: &str) -> String {
    small_with("kind = \"bearer\"\ntoken = \"env:ACME_TOKEN\"", auth)
}

fn env(name: &str) -> SecretSource {
    SecretSource::Env(name.into())
}

const OAUTH2: &str = r#"kind = "oauth2"
token_url = "https://auth.example.com/token/"
client_id = "env:ID"
client_secret = "env:SECRET"
refresh_token = "env:REFRESH""#;

const JWT: &str = r#"kind = "oauth2"
grant = "client_credentials"
credentials = "query"
token_url = "https://auth.example.com/token"
client_id = "env:ID"
[auth.jwt]
key = "file:key.pem"
key_id = "env:KEY_ID"
issuer = "env:TEAM"
audience = "https://auth.example.com""#;

#[test]
fn a_token_with_a_proof() {
    let auth = "kind = \"bearer\"\ntoken = \"env:T\"\nproof = { param = \"proof\", secret = \"env:S\" }";
    let proof = Proof { param: "proof".into(), secret: env("S") };
    assert_eq!(good(&with_auth(auth), &[]).auth, Auth::Bearer { token: env("T"), proof: Some(proof) });
    assert_snapshot!(problems(&with_auth(auth), &["auth.proof.secret=hunter2", "auth.proof.param=a{b"]), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `auth.proof.param` is "a{b": expected a parameter's name
    pipelines/acme.toml: --set: `auth.proof.secret` is not a secret's whereabouts: expected env:NAME or file:PATH, never the secret itself
    "#);
}

#[test]
fn tokens_for_a_refresh_token() {
    let Auth::OAuth2(rules) = good(&with_auth(OAUTH2), &[]).auth else { panic!("OAuth 2") };
    let expected = OAuth2 {
        token_url: "https://auth.example.com/token/".parse().expect("a URL"),
        grant: Grant::RefreshToken { token: env("REFRESH"), keep: None },
        client_id: env("ID"),
        client_secret: ClientSecret::Secret(env("SECRET")),
        scope: None,
        placement: Placement::Form,
        refresh_ahead: Duration::from_secs(300),
    };
    assert_eq!(*rules, expected);
    let more = format!(
        "{}\nkeep = \"data/secrets/acme\"\nscope = \"ads.read\"\ncredentials = \"basic\"\nrefresh_ahead = \"0s\"",
        OAUTH2
    );
    let Auth::OAuth2(rules) = good(&with_auth(&more), &["auth.token_url=http://127.0.0.1:80/t"]).auth else {
        panic!("OAuth 2")
    };
    assert_eq!(rules.keep(), Some(PathBuf::from("data/secrets/acme").as_path()));
    assert_eq!((rules.scope.as_deref(), rules.placement), (Some("ads.read"), Placement::Basic));
    assert_eq!((rules.refresh_ahead, rules.token_url.as_str()), (Duration::ZERO, "http://127.0.0.1/t"));
    let public = with_auth(&OAUTH2.replace("client_secret = \"env:SECRET\"\n", ""));
    let Auth::OAuth2(rules) = good(&public, &[]).auth else { panic!("OAuth 2") };
    assert_eq!(rules.client_secret, ClientSecret::None);
}

#[test]
fn tokens_for_the_clients_own_key() {
    let auth = good(&with_auth(JWT), &[]).auth;
    let Auth::OAuth2(rules) = &auth else { panic!("OAuth 2") };
    assert_eq!((&rules.grant, rules.placement), (&Grant::ClientCredentials, Placement::Query));
    let jwt = JwtRules {
        key: SecretSource::File("key.pem".into()),
        key_id: env("KEY_ID"),
        issuer: env("TEAM"),
        audience: "https://auth.example.com".into(),
        lifetime: Duration::from_secs(3600),
    };
    assert_eq!(rules.client_secret, ClientSecret::Jwt(jwt));
    let sources: Vec<String> = auth.sources().into_iter().map(ToString::to_string).collect();
    assert_eq!(sources, ["env:ID", "file:key.pem", "env:KEY_ID", "env:TEAM"]);
}

#[test]
fn requests_signed_one_by_one() {
    let text = "kind = \"oauth1\"\nconsumer_key = \"env:A\"\nconsumer_secret = \"env:B\"\ntoken = \"env:C\"\ntoken_secret = \"env:D\"";
    let expected =
        Auth::OAuth1 { consumer_key: env("A"), consumer_secret: env("B"), token: env("C"), token_secret: env("D") };
    assert_eq!(good(&with_auth(text), &[]).auth, expected);
    assert_snapshot!(problems(&with_auth(&text.replace("env:D", "hunter2").replace("\ntoken =", "\n# token =")), &[]), @"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:6: missing key `auth.token`: expected a text in quotes
    ");
}

#[test]
fn which_key_is_needed_by_which_grant() {
    assert_snapshot!(problems(&with_auth(&OAUTH2.replace("refresh_token = \"env:REFRESH\"", "")), &[]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:6: missing key `auth.refresh_token`: the grant "refresh_token" needs it
    "#);
    assert_snapshot!(problems(&with_auth(OAUTH2), &["auth.grant=client_credentials", "auth.keep=x"]), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml:11: `auth.refresh_token` has a meaning only with `grant = "refresh_token"`
    pipelines/acme.toml: --set: `auth.keep` has a meaning only with `grant = "refresh_token"`
    "#);
    let bare = OAUTH2.replace("client_secret = \"env:SECRET\"\nrefresh_token = \"env:REFRESH\"", "");
    assert_snapshot!(problems(&with_auth(&bare), &["auth.grant=client_credentials"]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:6: missing key `auth.client_secret`: the grant "client_credentials" needs it, or a table `auth.jwt`
    "#);
    assert_snapshot!(problems(&with_auth(&JWT.replace("[auth.jwt]", "client_secret = \"env:S\"\n[auth.jwt]")), &[]), @"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:13: `auth.jwt` cannot stand beside `auth.client_secret`: it takes its place
    ");
    let public = OAUTH2.replace("client_secret = \"env:SECRET\"\n", "");
    assert_snapshot!(problems(&with_auth(&public), &["auth.credentials=basic"]), @"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `auth.credentials` is basic, which sends a secret: expected `client_secret` beside it
    ");
    assert_snapshot!(problems(&with_auth(OAUTH2), &["auth.grant=password", "auth.credentials=header"]), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `auth.grant` is "password": expected one of refresh_token, client_credentials
    pipelines/acme.toml: --set: `auth.credentials` is "header": expected one of form, basic, query
    "#);
}

#[test]
fn values_that_mean_nothing() {
    let more = format!("{OAUTH2}\nkeep = \"env:KEEP\"\nscope = \" \"\nrefresh_ahead = \"soon\"");
    assert_snapshot!(problems(&with_auth(&more), &["auth.token_url=auth.example.com/token"]), @r#"
    4 problems in `pipelines/acme.toml`
    pipelines/acme.toml:12: `auth.keep` is not a file's path: expected one such as data/secrets/acme_refresh_token
    pipelines/acme.toml:13: `auth.scope` is not a scope: expected printable ASCII such as ads.read offline_access
    pipelines/acme.toml:14: `auth.refresh_ahead` is "soon": expected a length of time such as 500ms, 30s, 5m, 2h or 3d
    pipelines/acme.toml: --set: `auth.token_url` is not an https URL: expected one such as https://auth.example.com/oauth/token
    "#);
    assert_snapshot!(problems(&with_auth(JWT), &["auth.jwt.lifetime=181d"]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `auth.jwt.lifetime` is "181d": expected at most 180d
    "#);
    assert_snapshot!(problems(&with_auth(JWT), &["auth.jwt.lifetime=0s", "auth.jwt.key=hunter2"]), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `auth.jwt.key` is not a secret's whereabouts: expected env:NAME or file:PATH, never the secret itself
    pipelines/acme.toml: --set: `auth.jwt.lifetime` is "0s": expected more than nothing
    "#);
    assert_snapshot!(problems(&with_auth(JWT), &["auth.jwt.audience="]), @"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `auth.jwt.audience` is empty: expected the platform's name for itself
    ");
    let same = OAUTH2.replace("env:REFRESH", "file:data/token");
    assert_snapshot!(problems(&with_auth(&same), &["auth.keep=data/token"]), @"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `auth.keep` is the file of `refresh_token`, which is a person's: expected another
    ");
    for url in
        ["https://me:hunter2@a.com/t", "https://a.com/t?client_secret=hunter2", "http://a.com/hunter2", "hunter2"]
    {
        let said = problems(&with_auth(OAUTH2), &[&format!("auth.token_url={url}")]);
        assert!(said.contains("`auth.token_url` ") && !said.contains("hunter2"), "{said}");
    }
    assert_snapshot!(problems(&with_auth(OAUTH2), &["auth.token_url=http://a.example.com/t"]), @"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml: --set: `auth.token_url` would send the credentials in the clear: expected https
    ");
}
