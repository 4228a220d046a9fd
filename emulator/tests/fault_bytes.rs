//! The exact bytes that each fault sends.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::support::{End, LIMIT, NOW, PREVIEW, ask, bearer, header, json, keys_path, nonce_of};
use crate::support::{get, token_request};
use atlas_model_keys_emulator::server::{Options, Server};
use atlas_model_keys_emulator::{Area, Config, Emulator, Fault, Names};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Request, Response};

/// Every fault, and the bytes that a client receives after its request, until the connection ends.
///
/// Indented lines follow the name, which may have an argument. They are joined without their
/// indentation and line breaks.
///
/// `⏎` is CR LF. Placeholders in guillemets are replaced:
///
/// - `«page»`, `«links»` and `«keys»` are those of the regular response: page 2 of 3, with two keys.
/// - `«length»` is the number of bytes after the head, and `«page length»` that of the regular page. A
///   number may be added to `«length»` or subtracted from it: `«length-10»`.
/// - `«16 × a»` is sixteen times `a`. It may contain placeholders.
/// - `«chunks»` is the page in chunks, without the last one; in `«chunks ;a»` each has that extension.
/// - `«…»` is any number of bytes.
/// - The others are in [`Placeholders::value_of`].
///
/// The last placeholder says how the connection continues: with `«next»`, the response to a second
/// request that was sent together with the first one. Or it is `«closed»`, there is a `«reset»` or
/// `«silence»`, or it does not end: `«endlessly ab»` is `ab` repeated.
const TABLE: &str = r#"
reset-before-head
    «reset»
reset-in-head
    «first half of the head»«reset»
reset-in-body
    «200 with the page»⏎
    «first half of the page»«reset»
close-before-head
    «closed»
close-in-head
    «first half of the head»«closed»
close-in-body
    «200 with the page»⏎
    «first half of the page»«closed»
stall-before-head
    «silence»
stall-in-head
    «first half of the head»«silence»
stall-in-body
    «200 with the page»⏎
    «first half of the page»«silence»
slow-head=1ms
    «200»⏎
    «page»«next»
slow-body=1ms
    «200»⏎
    «page»«next»
byte-by-byte
    «200»⏎
    «page»«next»
length-too-small
    «200 closing»
    content-length: «length-10»⏎
    ⏎
    «page»«closed»
length-too-large
    «200 closing»
    content-length: «length+10»⏎
    ⏎
    «page»«closed»
length-conflicting
    «200 closing»
    content-length: «length»⏎
    content-length: «half of the length»⏎
    ⏎
    «page»«closed»
length-text
    «200 closing»
    content-length: many⏎
    ⏎
    «page»«closed»
length-negative
    «200 closing»
    content-length: -1⏎
    ⏎
    «page»«closed»
length-huge
    HTTP/1.1 200 OK⏎
    «date»«type»«vary both»«version»content-length: 1099511627776⏎
    connection: keep-alive⏎
    ⏎
    «page»«silence»
length-max
    «200 closing»
    content-length: 18446744073709551615⏎
    ⏎
    «page»«closed»
length-overflow
    «200 closing»
    content-length: 18446744073709551616⏎
    ⏎
    «page»«closed»
length-and-chunked
    «200 closing»
    transfer-encoding: chunked⏎
    content-length: «page length»⏎
    ⏎
    «chunks»0⏎⏎«closed»
chunked
    «200 chunked»
    «chunks»0⏎⏎«closed»
chunked-extensions
    «200 chunked»
    «chunks ;a="b;c"»0;d⏎⏎«closed»
chunked-extensions-long=5
    «200 chunked»
    «chunks ;aaaaa»0⏎⏎«closed»
chunked-trailers
    «200 chunked»
    «chunks»0⏎
    x-checksum: none⏎
    content-length: 5⏎
    ⏎
    «closed»
trailer-long
    «200 chunked»
    «chunks»0⏎
    x-long: «1048576 × a»⏎
    ⏎
    «closed»
trailers-endless
    «200 chunked»
    «chunks»0⏎
    «endlessly x-endless: 1⏎»
chunk-size-bad
    «200 chunked»
    «chunks»five⏎hello⏎0⏎⏎«closed»
chunk-size-huge
    «200 chunked»
    «chunks»ffffffffffffffff⏎hello⏎0⏎⏎«closed»
chunk-size-overflow
    «200 chunked»
    «chunks»10000000000000005⏎hello⏎0⏎⏎«closed»
chunks-truncated
    «200 chunked»
    «chunks»«closed»
chunks-endless
    «200 chunked»
    «endlessly 1000⏎«4096 ×  »⏎»
body-until-close
    «200 closing»⏎
    «page»«closed»
body-endless
    «200 closing»⏎
    «endlessly  »
http-1-0
    HTTP/1.0 200 OK⏎
    «date»connection: close⏎
    «type»«vary both»«version»⏎
    «page»«closed»
header-long
    «200»
    x-long: «1048576 × a»⏎
    ⏎
    «page»«next»
headers-many=3
    «200»
    x-many-0: 1⏎
    x-many-1: 1⏎
    x-many-2: 1⏎
    ⏎
    «page»«next»
headers-endless
    HTTP/1.1 200 OK⏎
    «endlessly x-endless: 1⏎»
status-line-bad
    HTTP/1.1 2OO OK⏎
    content-length: 2⏎
    ⏎
    {}«closed»
garbage
    «00 ff»⏎⏎«fe»220 ready⏎
    «16 × «bytes from ff down to 00»»«closed»
tls-record
    «15 03 03 00 02 02 46»«closed»
interim
    HTTP/1.1 100 Continue⏎
    ⏎
    HTTP/1.1 102 Processing⏎
    ⏎
    HTTP/1.1 103 Early Hints⏎
    link: </style.css>; rel=preload⏎
    ⏎
    «200 with the page»⏎
    «page»«next»
interim-endless
    «endlessly HTTP/1.1 103 Early Hints⏎⏎»
switching-protocols
    HTTP/1.1 101 Switching Protocols⏎
    «date»connection: upgrade⏎
    upgrade: h2c⏎
    ⏎
    «00 00 00 04 00 00 00 00 00»«closed»
connection-close
    HTTP/1.1 200 OK⏎
    «date»content-length: «length»⏎
    «type»«vary both»«version»connection: close⏎
    ⏎
    «page»«closed»
connection-lost
    «200»⏎
    «page»«closed»
extra-bytes
    «200 with the page»⏎
    «page»⏎⏎and by the way«next»
second-response
    «200 with the page»⏎
    «page»
    HTTP/1.1 200 OK⏎
    content-type: application/json⏎
    content-length: 66⏎
    ⏎
    {"links":[],"results":[{"apiKeyId":"unsolicited"}],"totalCount":1}«next»

gzip
    «200 coded»
    content-encoding: gzip⏎
    ⏎
    «gzip of the page»«next»
gzip-two-members
    «200 coded»
    content-encoding: gzip⏎
    ⏎
    «gzip of the first half»«gzip of the second half»«next»
gzip-bomb
    «200 coded»
    content-encoding: gzip⏎
    ⏎
    «1f 8b 08 00 00 00 00 00 00 ff»«…»«length of the bomb»«next»
gzip-corrupt
    «200 coded»
    content-encoding: gzip⏎
    ⏎
    «first half of the gzip»«sixteen inverted»«rest of the gzip»«next»
gzip-bad-checksum
    «200 coded»
    content-encoding: gzip⏎
    ⏎
    «gzip with a wrong checksum»«next»
gzip-truncated
    «200 coded»
    content-encoding: gzip⏎
    ⏎
    «first half of the gzip»«next»
gzip-trailing-garbage
    «200 coded»
    content-encoding: gzip⏎
    ⏎
    «gzip of the page»and by the way«next»
gzip-trailing-zeros
    «200 coded»
    content-encoding: gzip⏎
    ⏎
    «gzip of the page»«512 × «00»»«next»
gzip-twice
    «200 coded»
    content-encoding: gzip, gzip⏎
    ⏎
    «gzip of the gzip»«next»
gzip-label-only
    «200 coded»
    content-encoding: gzip⏎
    ⏎
    «page»«next»
coding-br
    «200 coded»
    content-encoding: br⏎
    ⏎
    «page»«next»
coding-unknown
    «200 coded»
    content-encoding: x-unknown⏎
    ⏎
    «page»«next»

ok-html
    «status 200 OK»«html»⏎
    «html page 200 OK»«next»
ok-empty
    «status 200 OK»«json»⏎
    «next»
no-content
    HTTP/1.1 204 No Content⏎
    «date»connection: keep-alive⏎
    ⏎
    «next»
not-modified
    HTTP/1.1 304 Not Modified⏎
    «date»connection: keep-alive⏎
    etag: "1"⏎
    ⏎
    «next»
partial-content
    «status 206 Partial Content»«type»«vary both»«version»
    content-range: bytes 0-«length-1»/«page length»⏎
    ⏎
    «first half of the page»«next»
partial-content-whole
    «status 206 Partial Content»«type»«vary both»«version»
    content-range: bytes 0-«length-1»/«page length»⏎
    ⏎
    «page»«next»
ok-other
    «status 201 Created»«type»«vary both»«version»⏎
    «page»«next»
ok-other=202
    «status 202 Accepted»«type»«vary both»«version»⏎
    «page»«next»
ok-other=203
    «status 203 Non Authoritative Information»«type»«vary both»«version»⏎
    «page»«next»
ok-other=204
    HTTP/1.1 204 No Content⏎
    «date»«keep»«type»«vary both»«version»⏎
    «next»
ok-other=226
    «status 226 IM Used»«type»«vary both»«version»⏎
    «page»«next»
error-json
    «status 500 Internal Server Error»«json»
    x-error-code: UNEXPECTED_ERROR⏎
    ⏎
    «unexpected»«next»
error-html
    «status 500 Internal Server Error»«html»⏎
    «html page 500 Internal Server Error»«next»
error-empty
    «status 502 Bad Gateway»⏎
    «next»
error-unknown
    «unknown status 600»«next»
error-unknown=799
    «unknown status 799»«next»
error-unknown=999
    «unknown status 999»«next»
error-large
    «status 500 Internal Server Error»«json»
    x-error-code: UNEXPECTED_ERROR⏎
    «vary»⏎
    {"detail":"«17825657 × a»(This is a scripted response.)","error":500,
    "errorCode":"UNEXPECTED_ERROR","parameters":[],"reason":"Internal Server Error"}«next»
envelope-error-top
    «status 200 OK»«json»
    x-error-code: UNEXPECTED_ERROR⏎
    ⏎
    {"detail":"(This is a scripted response.)","error":500,
    "errorCode":"UNEXPECTED_ERROR","parameters":[],"reason":"Internal Server Error","status":500}«next»
envelope-error-content=404
    «status 200 OK»«json»
    x-error-code: RESOURCE_NOT_FOUND⏎
    ⏎
    {"content":{"detail":"(This is a scripted response.)","error":404,
    "errorCode":"RESOURCE_NOT_FOUND","parameters":[],"reason":"Not Found"},"status":404}«next»
not-found-html
    «status 404 Not Found»«html»⏎
    «html page 404 Not Found»«next»
proxy-authentication
    «status 407 Proxy Authentication Required»«html»
    proxy-authenticate: Basic realm="proxy"⏎
    «vary»⏎
    «html page 407 Proxy Authentication Required»«next»
request-timeout
    HTTP/1.1 408 Request Timeout⏎
    «date»content-length: 0⏎
    connection: close⏎
    ⏎
    «closed»
too-early
    «status 425 Too Early»⏎
    «next»
redirect-own
    «status 302 Found»«html»
    location: «url»/elsewhere⏎
    ⏎
    «html page 302 Found»«next»
redirect-loop
    «status 307 Temporary Redirect»«html»
    location: «path»?itemsPerPage=2&pageNum=2⏎
    ⏎
    «html page 307 Temporary Redirect»«next»
redirect-relative
    «status 308 Permanent Redirect»«html»
    location: ../elsewhere⏎
    ⏎
    «html page 308 Permanent Redirect»«next»
redirect-other
    «status 307 Temporary Redirect»«html»
    location: https://attacker.example«path»?itemsPerPage=2&pageNum=2⏎
    ⏎
    «html page 307 Temporary Redirect»«next»
redirect-downgrade
    «status 301 Moved Permanently»«html»
    location: http://atlas.example«path»?itemsPerPage=2&pageNum=2⏎
    ⏎
    «html page 301 Moved Permanently»«next»
redirect-nowhere
    «status 303 See Other»«html»⏎
    «html page 303 See Other»«next»
retry-after-zero
    «429»
    retry-after: 0⏎
    ⏎
    «limited»«next»
retry-after-seconds
    «429»
    retry-after: 2⏎
    ⏎
    «limited»«next»
retry-after-fraction
    «429»
    retry-after: 2.5⏎
    ⏎
    «limited»«next»
retry-after-date
    «429»
    retry-after: Mon, 21 Sep 2026 14:13:22 GMT⏎
    ⏎
    «limited»«next»
retry-after-unpadded-date
    «429»
    retry-after: Sat, 6 Nov 2094 08:20:00 GMT⏎
    ⏎
    «limited»«next»
retry-after-past-date
    «429»
    retry-after: Sun, 06 Nov 1994 08:49:37 GMT⏎
    ⏎
    «limited»«next»
retry-after-huge
    «429»
    retry-after: 99999999999999999999⏎
    ⏎
    «limited»«next»
retry-after-negative
    «429»
    retry-after: -1⏎
    ⏎
    «limited»«next»
retry-after-text
    «429»
    retry-after: soon⏎
    ⏎
    «limited»«next»
retry-after-empty
    «429»
    retry-after: ⏎
    ⏎
    «limited»«next»
retry-after-missing
    «429»⏎
    «limited»«next»
retry-after-twice
    «429»
    retry-after: 1⏎
    retry-after: 3600⏎
    ⏎
    «limited»«next»
remaining-zero
    «200»
    ratelimit-limit: 1200⏎
    ratelimit-remaining: 0⏎
    ⏎
    «page»«next»
headers-unknown
    «200»
    x-unknown: «ff fe 20 09 20 22»⏎
    x-empty: ⏎
    x-empty: ⏎
    ⏎
    «page»«next»
echo-plain
    «status 400 Bad Request»«json»
    x-error-code: «bearer»⏎
    «vary»⏎
    {"badRequestDetail":{"fields":[{"description":"The credential «bearer» is not accepted.",
    "field":"«bearer»"}]},"detail":"The credential «bearer» is not accepted.","error":400,
    "parameters":["«bearer»"],"reason":"The credential «bearer» is not accepted."}«next»
echo-percent
    «status 400 Bad Request»«json»
    x-error-code: %65%79%4A«…» is not accepted."}«next»
echo-percent-lower
    «status 400 Bad Request»«json»
    x-error-code: %65%79%4a«…» is not accepted."}«next»
echo-json-escaped
    «status 400 Bad Request»«json»
    x-error-code: «bearer»⏎
    «vary»⏎
    {"badRequestDetail":{"fields":[{"description":"The credential \u0065y\u004a«…» is not accepted."}«next»
echo-json-twice
    «status 400 Bad Request»«json»
    x-error-code: \u0065y\u004a«…» is not accepted."}«next»
echo-html
    «status 400 Bad Request»«json»
    x-error-code: &#101;&#x79;&#74;«…» is not accepted."}«next»
echo-split
    «status 400 Bad Request»«json»«vary»⏎
    {"badRequestDetail":{"fields":[{"description":"The credential «bearer 0..8»\n«bearer 8..16»
    \r\n «bearer 16..24»\n«…» is not accepted."}«next»
echo-part
    «status 400 Bad Request»«json»
    x-error-code: «bearer 5..25»⏎
    «vary»⏎
    {"badRequestDetail":{"fields":[{"description":"The credential «bearer 5..25» is not accepted.",
    "field":"«bearer 5..25»"}]},"detail":"The credential «bearer 5..25» is not accepted.","error":400,
    "parameters":["«bearer 5..25»"],"reason":"The credential «bearer 5..25» is not accepted."}«next»
echo-reencoded
    «status 400 Bad Request»«json»
    x-error-code: «bearer 0..12»%«…» is not accepted."}«next»

next-other-host
    «200»⏎
    {"links":[«links but for next»,
    {"href":"https://attacker.example«path»?itemsPerPage=2&pageNum=3","rel":"next"}
    ],"results":[«keys»],"totalCount":5}«next»
next-credentials
    «200»⏎
    {"links":[«links but for next»,
    {"href":"http://user:password@atlas.example«path»?itemsPerPage=2&pageNum=3","rel":"next"}
    ],"results":[«keys»],"totalCount":5}«next»
next-javascript
    «200»⏎
    {"links":[«links but for next»,
    {"href":"javascript:alert(1)","rel":"next"}
    ],"results":[«keys»],"totalCount":5}«next»
next-relative
    «200»⏎
    {"links":[«links but for next»,
    {"href":"«path»?itemsPerPage=2&pageNum=3","rel":"next"}
    ],"results":[«keys»],"totalCount":5}«next»
next-itself
    «200»⏎
    {"links":[«links but for next»,
    {"href":"«url»?itemsPerPage=2&pageNum=2","rel":"next"}
    ],"results":[«keys»],"totalCount":5}«next»
next-lower
    «200»⏎
    {"links":[«links but for next»,
    {"href":"«url»?itemsPerPage=2&pageNum=1","rel":"next"}
    ],"results":[«keys»],"totalCount":5}«next»
next-huge
    «200»⏎
    {"links":[«links but for next»,
    {"href":"«url»?itemsPerPage=2&pageNum=99999999999999999999","rel":"next"}
    ],"results":[«keys»],"totalCount":5}«next»
pages-loop
    «200»⏎
    {"links":[«links»],"results":[«key 1»,«key 2»],"totalCount":5}«next»
pages-endless
    «200»⏎
    {"links":[«links»],"results":[{"apiKeyId":"«…»"}],"totalCount":5}«next»
pages-loop-one
    «200»⏎
    {"links":[«links»],"results":[«key 1»],"totalCount":5}«next»
page-empty
    «200»⏎
    {"links":[«links»],"results":[],"totalCount":5}«next»
pages-empty
    «200»⏎
    {"links":[«links»],"results":[],"totalCount":5}«next»
pages-empty-endless
    «200»⏎
    {"links":[«links»],"results":[],"totalCount":5}«next»
page-empty-once
    «200»⏎
    {"links":[«links but for next»],"results":[],"totalCount":5}«next»
pages-overlap
    «200»⏎
    {"links":[«links»],"results":[«key 2»,«key 3»],"totalCount":5}«next»
total-zero
    «200»⏎
    {"links":[«links»],"results":[«keys»],"totalCount":0}«next»
total-huge
    «200»⏎
    {"links":[«links»],"results":[«keys»],"totalCount":18446744073709551615}«next»
total-missing
    «200»⏎
    {"links":[«links»],"results":[«keys»]}«next»
total-negative
    «200»⏎
    {"links":[«links»],"results":[«keys»],"totalCount":-1}«next»
total-text
    «200»⏎
    {"links":[«links»],"results":[«keys»],"totalCount":"42"}«next»
total-float
    «200»⏎
    {"links":[«links»],"results":[«keys»],"totalCount":42.5}«next»
total-null
    «200»⏎
    {"links":[«links»],"results":[«keys»],"totalCount":null}«next»
total-exponent
    «200»⏎
    {"totalCount":1e400,"links":[«links»],"results":[«keys»]}«next»
total-long
    «200»⏎
    {"totalCount":«10000 × 7»,"links":[«links»],"results":[«keys»]}«next»
total-private-number
    «200»⏎
    {"totalCount":{"$serde_json::private::Number":"12"},"links":[«links»],"results":[«keys»]}«next»
total-private-raw
    «200»⏎
    {"totalCount":{"$serde_json::private::RawValue":"12"},"links":[«links»],"results":[«keys»]}«next»
results-null
    «200»⏎
    {"links":[«links»],"results":null,"totalCount":5}«next»
results-missing
    «200»⏎
    {"links":[«links»],"totalCount":5}«next»
results-object
    «200»⏎
    {"links":[«links»],"results":{"0":{"apiKeyId":"zero"}},"totalCount":5}«next»
results-with-null
    «200»⏎
    {"links":[«links»],"results":[«keys»,null],"totalCount":5}«next»
links-missing
    «200»⏎
    {"results":[«keys»],"totalCount":5}«next»
links-total-missing
    «200»⏎
    {"results":[«keys»]}«next»
links-null
    «200»⏎
    {"links":null,"results":[«keys»],"totalCount":5}«next»
links-only-null
    «200»⏎
    {"links":[null],"results":[«keys»],"totalCount":5}«next»
links-with-null
    «200»⏎
    {"links":[«links»,null],"results":[«keys»],"totalCount":5}«next»
empty-keys
    «200»⏎
    {"links":[«links but for next»],"results":[«99999 × {},»{}],"totalCount":5}«next»
fields-unknown
    «200»⏎
    {"aNewField":{"a":[1,-0.0025,true,null,"🔑",{}]},"links":[«links»],"results":[
    {"aNewField":{"a":[1,-0.0025,true,null,"🔑",{}]},«fields of key 3»},
    {"aNewField":{"a":[1,-0.0025,true,null,"🔑",{}]},«fields of key 4»}
    ],"totalCount":5}«next»
status-unknown
    «200»⏎
    {"links":[«links»],"results":[
    {«fields of key 3 before the status»"status":"HIBERNATING"},
    {«fields of key 4 before the status»"status":"HIBERNATING"}
    ],"totalCount":5}«next»
fields-mistyped
    «200»⏎
    {"links":[«links»],"results":[
    {«fields of key 3 before the name»"name":42,"status":"ACTIVE"},
    {«fields of key 4 before the name»"name":42,"status":"ACTIVE"}
    ],"totalCount":5}«next»
name-null
    «200»⏎
    {"links":[«links»],"results":[
    {«fields of key 3 before the name»"name":null,"status":"ACTIVE"},
    {«fields of key 4 before the name»"name":null,"status":"ACTIVE"}
    ],"totalCount":5}«next»
secrets
    «200»⏎
    {"links":[«links»],"results":[
    {«fields of key 3 before the status»"secret":"«secret of key 3»","status":"ACTIVE"},
    {«fields of key 4 before the status»"secret":"«secret of key 4»","status":"ACTIVE"}
    ],"totalCount":5}«next»
field-twice
    «200»⏎
    {"links":[«links»],"results":[
    {"apiKeyId":"theOtherOne",«fields of key 3»},«key 4»
    ],"totalCount":5}«next»
field-twice-unknown
    «200»⏎
    {"aNewField":1,"aNewField":{"a":1,"a":2},"links":[«links»],"results":[
    {"aNewField":1,"aNewField":2,«fields of key 3»},«key 4»
    ],"totalCount":5}«next»
utf8-invalid
    «200»⏎
    {"links":[«links»],"results":[
    {«fields of key 3 before the name»"name":"«ff c0 80 ed a0 80»«name of key 3»","status":"ACTIVE"},«key 4»
    ],"totalCount":5}«next»
utf8-bom
    «200»⏎
    «ef bb bf»«page»«next»
utf16
    «200»⏎
    «ff fe»«page in UTF-16»«next»
surrogate-unknown
    «200»⏎
    {"aNewField":"\ud800","links":[«links»],"results":[«keys»],"totalCount":5}«next»
surrogate-name
    «200»⏎
    {"links":[«links»],"results":[
    {«fields of key 3 before the name»"name":"\ud800«name of key 3»","status":"ACTIVE"},«key 4»
    ],"totalCount":5}«next»
nul-name
    «200»⏎
    {"links":[«links»],"results":[
    {«fields of key 3 before the name»"name":"«00»«name of key 3»","status":"ACTIVE"},«key 4»
    ],"totalCount":5}«next»
nested
    «200»⏎
    {"aNewField":«10000 × [»«10000 × ]»,"links":[«links»],"results":[«keys»],"totalCount":5}«next»
number-long
    «200»⏎
    {"aNewField":«10000 × 7»,"links":[«links»],"results":[«keys»],"totalCount":5}«next»
number-huge
    «200»⏎
    {"aNewField":1e400,"links":[«links»],"results":[«keys»],"totalCount":5}«next»
unknown-private-number
    «200»⏎
    {"aNewField":{"$serde_json::private::Number":"12"},«page but for the brace»«next»
unknown-private-raw
    «200»⏎
    {"aNewField":{"$serde_json::private::RawValue":"12"},«page but for the brace»«next»
json-truncated
    «200»⏎
    «first half of the page»«next»
json-trailing
    «200»⏎
    «page»«0a»{}«next»
json-spaces
    «200»⏎
    «12500 × «blanks»»«page»«12500 × «blanks»»«next»
json-spaces=3
    «200»⏎
    «20»«page»«09 0d»«next»
json-number
    «200 coded»⏎
    42«next»
error-in-200
    «status 200 OK»«json»
    x-error-code: UNEXPECTED_ERROR⏎
    ⏎
    «unexpected»«next»

token-close
    «closed»
token-reset
    «reset»
token-stall
    «silence»
token-slow
    «200 token»«vary»⏎
    {"access_token":"«token»","expires_in":3600,"token_type":"Bearer"}«next»
token-invalid-client
    «status 401 Unauthorized»«json»⏎
    {"error":"invalid_client","error_description":"(This is a fault on demand.)"}«next»
token-access-denied
    «status 403 Forbidden»«json»⏎
    {"error":"access_denied","error_description":"(This is a fault on demand.)"}«next»
token-too-many
    «429»
    retry-after: 1⏎
    ⏎
    «limited»«next»
token-error
    «status 500 Internal Server Error»«json»
    x-error-code: UNEXPECTED_ERROR⏎
    ⏎
    «unexpected»«next»
token-error-once
    «status 500 Internal Server Error»«json»
    x-error-code: UNEXPECTED_ERROR⏎
    ⏎
    «unexpected»«next»
token-unavailable
    «status 503 Service Unavailable»«json»
    x-error-code: UNEXPECTED_ERROR⏎
    retry-after: 1⏎
    ⏎
    {"detail":"(This is a scripted response.)","error":503,
    "errorCode":"UNEXPECTED_ERROR","parameters":[],"reason":"Service Unavailable"}«next»
token-error-large
    «status 500 Internal Server Error»«json»
    x-error-code: UNEXPECTED_ERROR⏎
    «vary»⏎
    {"detail":"«17825657 × a»(This is a scripted response.)","error":500,
    "errorCode":"UNEXPECTED_ERROR","parameters":[],"reason":"Internal Server Error"}«next»
token-html
    «status 200 OK»«html»⏎
    «html page 200 OK»«next»
token-redirect
    «status 307 Temporary Redirect»«html»
    location: https://attacker.example/api/oauth/token⏎
    ⏎
    «html page 307 Temporary Redirect»«next»
token-missing
    «200 token»⏎
    {"expires_in":3600,"token_type":"Bearer"}«next»
token-empty
    «200 token»⏎
    {"access_token":"","expires_in":3600,"token_type":"Bearer"}«next»
token-null
    «200 token»⏎
    {"access_token":null,"expires_in":3600,"token_type":"Bearer"}«next»
token-control
    «200 token»⏎
    {"access_token":"abc\r\nx-injected: 1","expires_in":3600,"token_type":"Bearer"}«next»
token-spaces
    «200 token»⏎
    {"access_token":" abc def ","expires_in":3600,"token_type":"Bearer"}«next»
token-long
    «200 token»«vary»⏎
    {"access_token":"«1048576 × a»","expires_in":3600,"token_type":"Bearer"}«next»
token-unknown
    «200 token»⏎
    {"access_token":"eyJhbm90aGVy.eyJvcmc.c2ln","expires_in":3600,"token_type":"Bearer"}«next»
token-type
    «200 token»«vary»⏎
    {"access_token":"«token»","expires_in":3600,"token_type":"mac"}«next»
token-type-missing
    «200 token»«vary»⏎
    {"access_token":"«token»","expires_in":3600}«next»
expires-zero
    «200 token»«vary»⏎
    {"access_token":"«token»","expires_in":0,"token_type":"Bearer"}«next»
expires-negative
    «200 token»«vary»⏎
    {"access_token":"«token»","expires_in":-1,"token_type":"Bearer"}«next»
expires-huge
    «200 token»«vary»⏎
    {"access_token":"«token»","expires_in":18446744073709551615,"token_type":"Bearer"}«next»
expires-text
    «200 token»«vary»⏎
    {"access_token":"«token»","expires_in":"3600","token_type":"Bearer"}«next»
expires-float
    «200 token»«vary»⏎
    {"access_token":"«token»","expires_in":3599.5,"token_type":"Bearer"}«next»
expires-missing
    «200 token»«vary»⏎
    {"access_token":"«token»","token_type":"Bearer"}«next»
token-echo-plain
    «status 400 Bad Request»«json»
    x-error-code: «client secret»⏎
    ⏎
    {"error":"«client secret»","error_description":"The credential «client secret» is not accepted."}«next»
token-echo-percent
    «status 400 Bad Request»«json»
    x-error-code: %6D%64%62%5F%73%61%5F%73%6B%5F%«…» is not accepted."}«next»
token-echo-percent-lower
    «status 400 Bad Request»«json»
    x-error-code: %6d%64%62%5f%73%61%5f%73%6b%5f%«…» is not accepted."}«next»
token-echo-json-escaped
    «status 400 Bad Request»«json»
    x-error-code: «client secret»⏎
    «vary»⏎
    {"error":"\u006dd\u0062_\u0073a\u005fs\u006b_\u00«…» is not accepted."}«next»
token-echo-json-twice
    «status 400 Bad Request»«json»
    x-error-code: \u006dd\u0062_\u0073a\u005fs\u006b_\u00«…» is not accepted."}«next»
token-echo-html
    «status 400 Bad Request»«json»
    x-error-code: &#109;&#x64;&#98;&lowbar;&#115;&#x61;&lowbar;&#x73;&#107;&lowbar;&«…» is not accepted."}«next»
token-echo-split
    «status 400 Bad Request»«json»⏎
    {"error":"mdb_sa_s\n«client secret 8..16»\r\n «client secret 16..24»\n«client secret 24..32»\r\n«20»
    «client secret 32..40»\n«client secret 40..48»\r\n «client secret 48..50»",
    "error_description":"The credential mdb_sa_s\n«client secret 8..16»\r\n «…» is not accepted."}«next»
token-echo-part
    «status 400 Bad Request»«json»
    x-error-code: «client secret 5..25»⏎
    ⏎
    {"error":"«client secret 5..25»",
    "error_description":"The credential «client secret 5..25» is not accepted."}«next»
token-echo-reencoded
    «status 400 Bad Request»«json»
    x-error-code: «client secret 0..12»%«…» is not accepted."}«next»
token-echo-basic
    «status 400 Bad Request»«json»
    x-error-code: «basic»⏎
    «vary»⏎
    {"error":"«basic»","error_description":"The credential «basic» is not accepted."}«next»

digest-nonce-once
    «regular 401»«next»
digest-never
    «regular 401»«next»
digest-no-qop
    «401»
    www-authenticate: Digest «realm, domain, nonce», algorithm=MD5, stale=false⏎
    ⏎
    «unauthorized»«next»
digest-qop-int
    «401»
    www-authenticate: Digest «realm, domain, nonce», algorithm=MD5, qop="auth-int", stale=false⏎
    ⏎
    «unauthorized»«next»
digest-no-nonce
    «401»
    www-authenticate: Digest realm="MMS Public API", qop="auth"⏎
    ⏎
    «unauthorized»«next»
digest-unknown-algorithm
    «401»
    www-authenticate: Digest «realm, domain, nonce», algorithm=SHA-1024, qop="auth", stale=false⏎
    ⏎
    «unauthorized»«next»
digest-basic-only
    «401»
    www-authenticate: Basic realm="MMS Public API"⏎
    ⏎
    «unauthorized»«next»
digest-garbage
    «401»
    www-authenticate: Digest ="", nonce="open, =,, \" realm='⏎
    ⏎
    «unauthorized»«next»
digest-no-challenge
    «401»⏎
    «unauthorized»«next»
digest-long
    «401»
    www-authenticate: Digest «realm, domain, nonce», algorithm=MD5, qop="auth", stale=false,«20»
    opaque="«65536 × a»"⏎
    ⏎
    «unauthorized»«next»
digest-many=2
    «401»
    www-authenticate: Digest «realm, domain, nonce», algorithm=SHA-0, qop="auth", stale=false⏎
    www-authenticate: Digest «realm, domain, nonce», algorithm=SHA-1, qop="auth", stale=false⏎
    www-authenticate: Digest «realm, domain, nonce», algorithm=MD5, qop="auth", stale=false⏎
    ⏎
    «unauthorized»«next»
digest-realm-utf8
    «401»
    www-authenticate: Digest realm="Área", «domain, nonce», algorithm=MD5, qop="auth", stale=false⏎
    ⏎
    «unauthorized»«next»
digest-realm-latin1
    «401»
    www-authenticate: Digest realm="«c1»rea", «domain, nonce», algorithm=MD5, qop="auth", stale=false⏎
    ⏎
    «unauthorized»«next»
digest-folded
    «status 401 Unauthorized»
    www-authenticate: Digest realm="MMS Public API",⏎
    «20»«domain, nonce», algorithm=MD5, qop="auth", stale=false⏎
    «json»«version»⏎
    «unauthorized»«next»
digest-in-one-header
    «401»
    www-authenticate: Basic realm="a, b",«20»
    Digest «realm, domain, nonce», algorithm=SHA-256, qop="auth", stale=false,«20»
    Digest «realm, domain, nonce», algorithm=MD5, qop="auth", stale=false⏎
    ⏎
    «unauthorized»«next»
"#;

/// Placeholders with a constant value, which may contain other placeholders.
const ABBREVIATIONS: &[(&str, &str)] = &[
    ("date", "date: Mon, 21 Sep 2026 14:13:20 GMT⏎"),
    ("keep", "connection: keep-alive⏎"),
    (
        "type",
        "content-type: application/vnd.atlas.preview+json;charset=utf-8⏎",
    ),
    ("json", "content-type: application/json⏎"),
    ("html", "content-type: text/html; charset=utf-8⏎"),
    ("vary", "vary: Accept-Encoding⏎"),
    ("vary both", "vary: Accept, Accept-Encoding⏎"),
    (
        "version",
        concat!(
            "x-mongodb-service-version: gitHash=0000000000000000000000000000000000000000; ",
            "versionString=emulator-",
            env!("CARGO_PKG_VERSION"),
            "⏎"
        ),
    ),
    ("200", "«status 200 OK»«type»«vary both»«version»"),
    ("200 coded", "«status 200 OK»«type»vary: Accept⏎«version»"),
    (
        "200 with the page",
        "HTTP/1.1 200 OK⏎«date»content-length: «page length»⏎«keep»«type»«vary both»«version»",
    ),
    (
        "200 closing",
        "HTTP/1.1 200 OK⏎«date»connection: close⏎«type»«vary both»«version»",
    ),
    ("200 chunked", "«200 closing»transfer-encoding: chunked⏎⏎"),
    (
        "200 token",
        "«status 200 OK»«json»cache-control: no-store⏎pragma: no-cache⏎«version»",
    ),
    (
        "429",
        "«status 429 Too Many Requests»«json»x-error-code: RATE_LIMITED⏎",
    ),
    (
        "limited",
        r#"{"detail":"(This is a scripted response.)","error":429,"errorCode":"RATE_LIMITED","parameters":[],"reason":"Too Many Requests"}"#,
    ),
    (
        "unexpected",
        r#"{"detail":"(This is a scripted response.)","error":500,"errorCode":"UNEXPECTED_ERROR","parameters":[],"reason":"Internal Server Error"}"#,
    ),
    ("401", "«status 401 Unauthorized»«version»«json»"),
    (
        "regular 401",
        "«status 401 Unauthorized»www-authenticate: «regular challenge»⏎«json»«version»⏎«unauthorized»",
    ),
    (
        "regular challenge",
        "Digest «realm, domain, nonce», algorithm=MD5, qop=\"auth\", stale=false",
    ),
    (
        "realm, domain, nonce",
        "realm=\"MMS Public API\", «domain, nonce»",
    ),
    ("domain, nonce", "domain=\"\", nonce=\"«nonce»\""),
    (
        "unauthorized",
        r#"{"detail":"You are not authorized for this resource.","error":401,"reason":"Unauthorized"}"#,
    ),
    (
        "page",
        r#"{"links":[«links»],"results":[«keys»],"totalCount":5}"#,
    ),
    (
        "links",
        r#"«links but for next»,{"href":"«url»?itemsPerPage=2&pageNum=3","rel":"next"}"#,
    ),
    (
        "links but for next",
        concat!(
            r#"{"href":"«url»?itemsPerPage=2&pageNum=1","rel":"previous"},"#,
            r#"{"href":"«url»?pageNum=2&itemsPerPage=2","rel":"self"}"#
        ),
    ),
    ("keys", "«key 3»,«key 4»"),
    ("url", "http://atlas.example«path»"),
    ("blanks", "«20 09 0d 0a»"),
];

const AFTER: &str = "GET /after HTTP/1.1\r\nHost: atlas.example\r\nConnection: close\r\n\r\n";

fn emulator() -> Emulator {
    Emulator::new(
        Config::default()
            .with_keys_per_group(5)
            .with_names(Names::Hostile)
            .with_rate_limit(None),
    )
}

/// Starts a server that always sends equal bytes, because its clock stands still.
fn server() -> Server {
    let options = Options::default()
        .with_clock(Arc::new(|| NOW))
        .with_allowed_host("atlas.example");
    Server::start(emulator(), options).unwrap()
}

/// Returns a request that faults of this area apply to.
fn request(area: Area) -> Request<Vec<u8>> {
    let emulator = emulator();
    let target = format!("{}?itemsPerPage=2&pageNum=2", keys_path(&emulator));
    let mut request = match area {
        Area::Token => token_request(&emulator, "grant_type=client_credentials"),
        Area::Digest => get(&target, PREVIEW, ""),
        _ => get(&target, PREVIEW, &bearer(&emulator)),
    };
    let length = request.body().len();
    let headers = request.headers_mut();
    headers.insert("host", "atlas.example".parse().unwrap());
    headers.insert("content-length", length.into());
    request
}

fn on_the_wire(request: &Request<Vec<u8>>) -> String {
    let mut text = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        let _ = write!(text, "{name}: {}\r\n", value.to_str().unwrap());
    }
    text + "\r\n" + str::from_utf8(request.body()).unwrap()
}

/// The values of the placeholders in the table.
struct Placeholders {
    /// The response to the request in memory, without a fault.
    regular: Response<Vec<u8>>,
    path: String,
    /// The keys of all pages, as JSON.
    keys: Vec<serde_json::Value>,
    secrets: Vec<String>,
    /// The credentials of requests, by the name of their placeholder.
    credentials: [(&'static str, String); 3],
    /// The response to [`AFTER`].
    next: Vec<u8>,
    /// The number of bytes after the head.
    length: usize,
}

/// The expected bytes and the expected end.
#[derive(Default)]
struct Expected {
    /// The bytes before and after a gap.
    parts: [Vec<u8>; 2],
    has_gap: bool,
    /// Bytes that are repeated.
    endless: Vec<u8>,
    end: Option<End>,
}

impl Expected {
    fn push(&mut self, bytes: &[u8]) {
        self.parts[usize::from(self.has_gap)].extend_from_slice(bytes);
    }
}

impl Placeholders {
    fn new(area: Area) -> Self {
        let mut emulator = emulator();
        let all = format!("{}?itemsPerPage=500", keys_path(&emulator));
        let all = emulator.handle(&get(&all, PREVIEW, &bearer(&emulator)), NOW);
        let secrets = emulator.keys(emulator.first_group()).iter();
        let basic = request(Area::Token).headers()["authorization"].clone();
        let basic = basic.to_str().unwrap().trim_start_matches("Basic ");
        let client_secret = emulator.service_account().client_secret.clone();
        Self {
            credentials: [
                ("bearer", emulator.access_token().to_owned()),
                ("client secret", client_secret),
                ("basic", basic.to_owned()),
            ],
            secrets: secrets.map(|key| key.secret.clone().unwrap()).collect(),
            keys: json(&all)["results"].as_array().unwrap().clone(),
            path: keys_path(&emulator),
            regular: emulator.handle(&request(area), NOW),
            next: ask(&server(), AFTER, LIMIT).0,
            length: 0,
        }
    }

    /// Expands a line of the table. `«length»` is taken from the received bytes.
    fn expected(&mut self, template: &str, seen: &[u8]) -> Expected {
        let head = memchr::memmem::find(seen, b"\r\n\r\n");
        let after = seen.len() - head.map_or(0, |at| at + 4);
        let next = template.ends_with("«next»");
        self.length = after.saturating_sub(if next { self.next.len() } else { 0 });
        let mut expected = Expected::default();
        self.expand(template, &mut expected);
        expected
    }

    fn bytes(&self, template: &str) -> Vec<u8> {
        let mut expected = Expected::default();
        self.expand(template, &mut expected);
        let [bytes, _] = expected.parts;
        bytes
    }

    fn expand(&self, template: &str, out: &mut Expected) {
        let mut rest = template;
        while let Some(at) = rest.find(['⏎', '«']) {
            out.push(&rest.as_bytes()[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix('⏎') {
                out.push(b"\r\n");
                rest = after;
                continue;
            }
            // Placeholders may be nested.
            let mut depth = 0;
            let close = rest.char_indices().find(|(_, c)| {
                depth += i32::from(*c == '«') - i32::from(*c == '»');
                depth == 0
            });
            let (close, _) = close.unwrap_or_else(|| panic!("no closing guillemet in {rest}"));
            self.replace(&rest["«".len()..close], out);
            rest = &rest[close + "»".len()..];
        }
        out.push(rest.as_bytes());
    }

    fn replace(&self, name: &str, out: &mut Expected) {
        match name {
            "…" => out.has_gap = true,
            "next" => {
                out.push(&self.next);
                out.end = Some(End::Closed);
            }
            "closed" => out.end = Some(End::Closed),
            "reset" => out.end = Some(End::Reset),
            "silence" => out.end = Some(End::Silence),
            _ => match name.strip_prefix("endlessly ") {
                Some(what) => {
                    out.endless = self.bytes(what);
                    out.end = Some(End::StillSending);
                }
                None => out.push(&self.value_of(name)),
            },
        }
    }

    fn value_of(&self, name: &str) -> Vec<u8> {
        if let Some((_, template)) = ABBREVIATIONS.iter().find(|(known, _)| *known == name) {
            return self.bytes(template);
        }
        if let Some((count, what)) = name.split_once(" × ") {
            let what = self.bytes(what);
            return what.repeat(count.parse().unwrap());
        }
        if let Some(bytes) = hex(name) {
            return bytes;
        }
        let add = name.strip_prefix("length");
        if let Some(Ok(add)) = add.map(|add| format!("{add:0>1}").parse::<i64>()) {
            let length = i64::try_from(self.length).unwrap() + add;
            return length.to_string().into_bytes();
        }
        let page = || self.bytes("«page»");
        let gzipped = || gzip(&page());
        let half = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
        match name {
            "page length" => page().len().to_string().into_bytes(),
            "half of the length" => (self.length / 2).to_string().into_bytes(),
            "path" => self.path.clone().into_bytes(),
            "first half of the head" => half(self.bytes("«200 with the page»⏎")),
            "first half of the page" => half(page()),
            "gzip of the page" => gzipped(),
            "gzip of the gzip" => gzip(&gzipped()),
            "gzip of the first half" => gzip(&half(page())),
            "gzip of the second half" => gzip(&page()[page().len() / 2..]),
            "first half of the gzip" => half(gzipped()),
            "sixteen inverted" => {
                let middle = gzipped().len() / 2;
                gzipped()[middle..middle + 16].iter().map(|b| !b).collect()
            }
            "rest of the gzip" => gzipped()[gzipped().len() / 2 + 16..].to_vec(),
            "gzip with a wrong checksum" => {
                let mut bytes = gzipped();
                let at = bytes.len() - 8;
                bytes[at] = !bytes[at];
                bytes
            }
            "length of the bomb" => {
                let length = u32::try_from((1 << 30) + page().len()).unwrap();
                length.to_le_bytes().to_vec()
            }
            "bytes from ff down to 00" => (0..=u8::MAX).rev().collect(),
            "page in UTF-16" => {
                let text = String::from_utf8(page()).unwrap();
                text.encode_utf16().flat_map(u16::to_le_bytes).collect()
            }
            "nonce" => {
                let challenge = header(&self.regular, "www-authenticate").unwrap();
                nonce_of(challenge).into()
            }
            "token" => {
                let granted = json(&self.regular);
                granted["access_token"].as_str().unwrap().into()
            }
            "page but for the brace" => page()[1..].to_vec(),
            _ => self.parametrized_value(name),
        }
    }

    /// Returns the value of a placeholder whose name has a parameter.
    fn parametrized_value(&self, name: &str) -> Vec<u8> {
        if let Some(status) = name.strip_prefix("status ") {
            return self.bytes(&format!(
                "HTTP/1.1 {status}⏎«date»content-length: «length»⏎«keep»"
            ));
        }
        if let Some(status) = name.strip_prefix("unknown status ") {
            return self.bytes(&format!(
                "«status {status} »«json»x-error-code: UNEXPECTED_ERROR⏎⏎\
                 {{\"detail\":\"(This is a scripted response.)\",\"error\":{status},\
                 \"errorCode\":\"UNEXPECTED_ERROR\",\"parameters\":[],\"reason\":\"Unknown\"}}"
            ));
        }
        for (secret, value) in &self.credentials {
            let range = name
                .strip_prefix(secret)
                .map(|range| range.split_once(".."));
            match range {
                Some(Some((from, to))) => {
                    let [from, to] = [from, to].map(|n| n.trim().parse::<usize>().unwrap());
                    return value[from..to].into();
                }
                Some(None) => return value.clone().into_bytes(),
                None => {}
            }
        }
        if let Some(status) = name.strip_prefix("html page ") {
            return format!(
                "<!DOCTYPE html>\n<html><head><title>{status}</title></head>\n<body><h1>{status}</h1>\
                 <p>A server in front of Atlas sent this page.</p><script>alert(1)</script></body></html>\n"
            )
            .into_bytes();
        }
        if let Some(extension) = name.strip_prefix("chunks") {
            return chunks(&self.bytes("«page»"), extension.trim_start());
        }
        self.key_part(name)
            .unwrap_or_else(|| panic!("unknown placeholder {name}"))
            .into_bytes()
    }

    /// Returns a key or a part of one.
    fn key_part(&self, name: &str) -> Option<String> {
        let number = name.find(|c: char| c.is_ascii_digit())?;
        let (what, rest) = name.split_at(number);
        let (number, rest) = rest.split_at(1);
        let index = number.parse::<usize>().ok()? - 1;
        let key = self.keys.get(index)?;
        let text = key.to_string();
        let fields = text.strip_prefix('{')?.strip_suffix('}')?;
        let before = |field| {
            fields
                .split_once(field)
                .map(|(before, _)| before.to_owned())
        };
        match (what, rest) {
            ("key ", "") => Some(text),
            ("fields of key ", "") => Some(fields.to_owned()),
            ("fields of key ", " before the name") => before("\"name\""),
            ("fields of key ", " before the status") => before("\"status\""),
            ("name of key ", "") => key["name"].as_str().map(str::to_owned),
            ("secret of key ", "") => self.secrets.get(index).cloned(),
            _ => None,
        }
    }
}

/// Parses hexadecimal bytes such as `00 ff`. Returns `None` for any other text.
fn hex(text: &str) -> Option<Vec<u8>> {
    let byte = |digits: &str| {
        let byte = u8::from_str_radix(digits, 16).ok();
        byte.filter(|_| digits.len() == 2)
    };
    text.split(' ').map(byte).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Returns the page in chunks of 1, 2, 15, 16 and 17 bytes and one with the rest.
fn chunks(page: &[u8], extension: &str) -> Vec<u8> {
    let mut rest = page;
    let mut out = Vec::new();
    for size in [1, 2, 15, 16, 17, page.len() - 51] {
        let (chunk, after) = rest.split_at(size);
        out.extend_from_slice(format!("{size:x}{extension}\r\n").as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = after;
    }
    out
}

/// Returns the rows of the table: each fault with the template of its bytes.
fn rows() -> Vec<(Fault, String)> {
    let mut rows: Vec<(Fault, String)> = Vec::new();
    for line in TABLE.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("    ") {
            Some(more) => rows.last_mut().unwrap().1.push_str(more),
            None => rows.push((line.parse().unwrap(), String::new())),
        }
    }
    rows
}

fn excerpt(bytes: &[u8], from: usize) -> String {
    let from = from.saturating_sub(40).min(bytes.len());
    let to = bytes.len().min(from + 400);
    bytes[from..to].escape_ascii().to_string()
}

/// Checks the bytes of all faults of these areas.
fn check(areas: &[Area]) {
    for area in areas {
        let mut placeholders = Placeholders::new(*area);
        let request = on_the_wire(&request(*area)) + AFTER;
        let rows = rows()
            .into_iter()
            .filter(|(fault, _)| fault.area() == *area);
        for (fault, template) in rows {
            let server = server();
            server.with(|emulator| emulator.inject(fault));
            // Only a stall is expected to be silent; the other faults get enough time.
            let silence = if template.ends_with("«silence»") {
                Duration::from_millis(100)
            } else {
                LIMIT
            };
            let (seen, end) = ask(&server, &request, silence);
            let expected = placeholders.expected(&template, &seen);
            let mut start = expected.parts[0].clone();
            if expected.end == Some(End::StillSending) {
                let missing = seen.len() - start.len();
                let repeated = expected
                    .endless
                    .repeat(missing / expected.endless.len() + 1);
                start.extend_from_slice(&repeated[..missing]);
            }
            let is_as_expected = if expected.has_gap {
                let rest = seen.strip_prefix(start.as_slice());
                rest.is_some_and(|rest| rest.ends_with(&expected.parts[1]))
            } else {
                seen == start
            };
            if !is_as_expected {
                let at = seen.iter().zip(&start).position(|(a, b)| a != b);
                let at = at.unwrap_or(seen.len().min(start.len()));
                panic!(
                    "{fault}, from byte {at} on:\nreceived {}\nexpected {}\n     ... {}",
                    excerpt(&seen, at),
                    excerpt(&start, at),
                    excerpt(&expected.parts[1], 0),
                );
            }
            assert_eq!(Some(end), expected.end, "{fault}");
        }
    }
}

#[test]
fn table_contains_every_fault_in_order() {
    let mut listed: Vec<_> = rows().iter().map(|(fault, _)| fault.name()).collect();
    listed.dedup();
    let known: Vec<_> = Fault::all().map(|fault| fault.name()).collect();
    assert_eq!(listed, known);
}

#[test]
fn response_without_a_fault_is_the_regular_page() {
    let request = on_the_wire(&request(Area::Page)) + AFTER;
    let (seen, end) = ask(&server(), &request, LIMIT);
    let mut placeholders = Placeholders::new(Area::Page);
    let expected = placeholders.expected("«200»⏎«page»«next»", &seen);
    assert_eq!(excerpt(&seen, 0), excerpt(&expected.parts[0], 0));
    assert_eq!((seen, Some(end)), (expected.parts[0].clone(), expected.end));
}

#[test]
fn socket_faults_send_the_expected_bytes() {
    check(&[Area::Socket]);
}

#[test]
fn coding_and_meaning_faults_send_the_expected_bytes() {
    check(&[Area::Coding, Area::Meaning]);
}

#[test]
fn page_faults_send_the_expected_bytes() {
    check(&[Area::Page]);
}

#[test]
fn token_and_digest_faults_send_the_expected_bytes() {
    check(&[Area::Token, Area::Digest]);
}
