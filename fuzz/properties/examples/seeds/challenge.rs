//! Digest challenges.

pub(crate) const CHALLENGES: [&str; 19] = [
    r#"Digest realm="MMS Public API", domain="", nonce="Nfx+VMFO0sY4tpgy1sHRakvvv0NN4S91", algorithm=MD5, qop="auth", stale=false"#,
    r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
    r#"Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true"#,
    r#"Digest realm="r", nonce="n", qop=auth, algorithm=md5-SESS"#,
    r#"Basic realm="x", Digest realm="a\"b\\c", nonce="n", qop="auth", Digest realm="r", nonce="m", qop="auth", algorithm=SHA-256-sess, stale=TRUE"#,
    "Negotiate YII=\nDigest realm=\"r\", nonce=\"n\", qop=\"auth\"\nDigest realm=\"r\", nonce=\"m\", qop=\"auth\", algorithm=SHA-256",
    r#",, Digest realm = "r" ,nonce= n,, qop="x,auth" , unknown="y","#,
    r#"Digest realm="r", nonce="n""#,
    r#"Digest realm="r", nonce="n", qop="auth-int""#,
    r#"Digest realm="r", nonce="n", qop="auth", qop="auth""#,
    r#"Digest realm="r", nonce="n", qop="auth", algorithm=SHA3"#,
    r#"Digest realm="r, nonce="n", qop="auth""#,
    "Digest realm=\"\u{e9}\", nonce=\"\", qop=\"auth\"",
    r#"Digest realm="r", nonce="first", qop="auth", algorithm=SHA-256, Digest realm="r", nonce="second", qop="auth", algorithm=SHA-256"#,
    r#"Digest realm="r", nonce="n", qop="auth", Nonce="m", Digest realm="q\"\\", nonce="\"", qop="auth""#,
    "Digest !#$%&'*+-.^_`|~=\"x\", realm=\"r\", nonce=\"n\", qop=\"auth\"",
    r#"Basic abc==  	, Digest realm="r", nonce="n", qop="auth""#,
    "Digest\trealm=\"r\", nonce=\"n\", qop=\"auth\"",
    r#"Negotiate a/b==, Digest realm="r", nonce="n", qop="auth""#,
];
