package http1

import (
	"strings"
	"testing"
)

// What a row of the table below begins with, and a request that would be
// smuggled if anything behind a rejected message were parsed.
const (
	get11  = "GET / HTTP/1.1\r\nHost: h\r\n"
	get10  = "GET / HTTP/1.0\r\n"
	post11 = "POST / HTTP/1.1\r\nHost: h\r\n"
	te     = post11 + "Transfer-Encoding: chunked\r\n\r\n"
	next   = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
)

// requestTable is the boundary: every row is either rejected with a status and
// cause, after which nothing is parsed, or has exactly one meaning. An empty
// want means: exactly "GET / @h".
var requestTable = []struct{ name, in, want string }{
	// Plain meanings.
	{"minimal", get11 + "\r\n", ""},
	{"http/1.0", get10 + "\r\n", "GET / 1.0 close"},
	{"http/1.0 host", get10 + "Host: h\r\n\r\n", "GET / @h 1.0 close"},
	{"http/1.0 keep-alive", get10 + "Connection: Keep-Alive\r\n\r\n", "GET / 1.0"},
	{"http/1.0 keep-alive and close", get10 + "Connection: keep-alive, close\r\n\r\n", "GET / 1.0 close"},
	{"close", get11 + "Connection: close\r\n\r\n", "GET / @h close"},
	{"close in any case", get11 + "Connection: foo ,\tCLOSE\r\n\r\n", "GET / @h close"},
	{"close in a second line", get11 + "Connection: keep-alive\r\nConnection: close\r\n\r\n", "GET / @h close"},
	{"two requests", get11 + "\r\n" + next, "GET / @h\nGET /next @h"},
	{"query", "GET /a?b=c&d HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a?b=c&d @h"},
	{"empty query", "GET /a? HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a? @h"},
	{"two question marks", "GET /a?b?c HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a?b?c @h"},
	{"empty value", get11 + "A:\r\n\r\n", "GET / @h A="},
	{"value in white space", get11 + "A: \t b c \t\r\n\r\n", "GET / @h A=b c"},
	{"value without space", get11 + "A:b\r\n\r\n", "GET / @h A=b"},
	{"colon in value", get11 + "A: b:c\r\n\r\n", "GET / @h A=b:c"},
	{"tab in value", get11 + "A: b\tc\r\n\r\n", "GET / @h A=b\tc"},
	{"obs-text in value", get11 + "A: caf\xc3\xa9\xff\r\n\r\n", "GET / @h A=caf\xc3\xa9\xff"},
	{"repeated ordinary field", get11 + "A: 1\r\nA: 2\r\n\r\n", "GET / @h A=1 A=2"},
	{"every token character in a name", get11 + "!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n", "GET / @h !#$%&'*+-.^_`|~09azAZ=x"},
	{"method of token characters", "M-SEARCH / HTTP/1.1\r\nHost: h\r\n\r\n", "M-SEARCH / @h"},
	{"named by connection", get11 + "Connection: X-Secret\r\nx-secret: 1\r\nOther: 2\r\n\r\n", "GET / @h x-secret=1(named) Other=2"},

	// Request line.
	{"http/0.9", "GET /\r\n" + next, "!400 request_line"},
	{"http/0.9 without path", "GET\r\n\r\n" + next, "!400 request_line"},
	{"two spaces before target", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 request_line"},
	{"two spaces before version", "GET /  HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 request_line"},
	{"space behind version", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n" + next, "!400 request_line"},
	{"space before method", " GET / HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 method"},
	{"tab before target", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 request_line"},
	{"tab before version", "GET /\tHTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 request_line"},
	{"tabs only", "GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 request_line"},
	{"vertical tab in method", "G\vET / HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 method"},
	{"space in target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 request_line"},
	{"two request lines in one", "GET / HTTP/1.1 GET /x HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 request_line"},
	{"no target", "GET HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 request_line"},
	{"empty target", "GET  HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 request_line"},
	{"lower case method", "get / HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 method"},
	{"mixed case method", "Head / HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 method"},
	{"method with colon", "GET: / HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 method"},
	{"method with quotes", "\"GET\" / HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 method"},
	{"method with NUL", "GE\x00T / HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 method"},
	{"long method", strings.Repeat("M", 33) + " / HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!501 method"},
	{"tls hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "!400 method"},
	{"lower case version", "GET / http/1.1\r\nHost: h\r\n\r\n" + next, "!400 version"},
	{"version 1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n" + next, "!505 version"},
	{"version 1.9", "GET / HTTP/1.9\r\nHost: h\r\n\r\n" + next, "!505 version"},
	{"version 0.9", "GET / HTTP/0.9\r\nHost: h\r\n\r\n" + next, "!505 version"},
	{"version 2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n" + next, "!505 version"},
	{"version 2", "GET / HTTP/2\r\nHost: h\r\n\r\n" + next, "!400 version"},
	{"version 1", "GET / HTTP/1\r\nHost: h\r\n\r\n" + next, "!400 version"},
	{"version 1.10", "GET / HTTP/1.10\r\nHost: h\r\n\r\n" + next, "!400 version"},
	{"version 01.1", "GET / HTTP/01.1\r\nHost: h\r\n\r\n" + next, "!400 version"},
	{"version 1,1", "GET / HTTP/1,1\r\nHost: h\r\n\r\n" + next, "!400 version"},
	{"version with control", "GET / HTTP/1.1\x00\r\nHost: h\r\n\r\n" + next, "!400 version"},
	{"other protocol", "GET / HTCP/1.1\r\nHost: h\r\n\r\n" + next, "!400 version"},
	{"http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "!505 http2_preface"},
	{"bare LF behind request line", "GET / HTTP/1.1\nHost: h\r\n\r\n" + next, "!400 bare_lf"},
	{"bare CR in request line", "GET /\rX HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 bare_cr"},
	{"two CRs behind request line", "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n" + next, "!400 bare_cr"},
	{"one empty line before", "\r\n" + get11 + "\r\n", ""},
	{"one empty line between", get11 + "\r\n\r\n" + next, "GET / @h\nGET /next @h"},
	{"two empty lines before", "\r\n\r\n" + next, "!400 empty_lines"},
	{"bare LF before", "\n" + next, "!400 bare_lf"},
	{"CR before", "\r" + next, "!400 bare_cr"},
	{"long target", "GET /" + strings.Repeat("a", 16<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n", "!414 target_bytes"},
	{"endless target", "GET /" + strings.Repeat("a", 17<<10), "!414 target_bytes"},

	// Target and Host.
	{"fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"non-ASCII target", "GET /caf\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"control in target", "GET /a\x01 HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"NUL in target", "GET /a\x00 HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"DEL in target", "GET /a\x7f HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"bad escape", "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"cut escape", "GET /%4 HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"lone percent in query", "GET /?100% HTTP/1.1\r\nHost: h\r\n\r\n", "GET /?100% @h"},
	{"what browsers send raw", "GET /a|b?c={\"^`} HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a|b?c={\"^`} @h"},
	{"two leading slashes", "GET //evil/a HTTP/1.1\r\nHost: h\r\n\r\n", "GET //evil/a @h"},
	{"dot segments stay", "GET /a/../b/%2e%2e/ HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a/../b/%2e%2e/ @h"},
	{"relative target", "GET a HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"target of a query only", "GET ?a HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"backslash target", "GET \\a HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"absolute", "GET http://h/a?b HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a?b @h"},
	{"absolute https", "GET https://h:444/a HTTP/1.1\r\nHost: h:444\r\n\r\n", "GET /a @h:444"},
	{"absolute upper case", "GET HTTP://H/ HTTP/1.1\r\nHost: h\r\n\r\n", "GET / @H"},
	{"absolute without path", "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", ""},
	{"absolute with query only", "GET http://h?a=/b HTTP/1.1\r\nHost: h\r\n\r\n", "GET /?a=/b @h"},
	{"absolute in 1.0", "GET http://h/ HTTP/1.0\r\n\r\n", "GET / @h 1.0 close"},
	{"absolute, other host", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n" + next, "!400 host"},
	{"absolute, other port", "GET http://h:80/ HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 host"},
	{"absolute, no host field", "GET http://h/ HTTP/1.1\r\n\r\n" + next, "!400 host"},
	{"absolute, two host fields", "GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n" + next, "!400 host"},
	{"absolute with userinfo", "GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"absolute with empty host", "GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"absolute, backslash in authority", "GET http://h\\@evil/ HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"absolute, other scheme", "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"absolute, one slash", "GET http:/h/ HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * @h"},
	{"asterisk with GET", "GET * HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"asterisk and more", "OPTIONS *x HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!400 target"},
	{"connect", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n" + next, "!501 connect"},
	{"connect with path", "CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n" + next, "!501 connect"},
	{"authority with GET", "GET h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n" + next, "!400 target"},
	{"no host", "GET / HTTP/1.1\r\n\r\n" + next, "!400 host"},
	{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + next, "!400 host"},
	{"two equal hosts", "GET / HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n" + next, "!400 host"},
	{"two hosts in 1.0", get10 + "Host: a\r\nHost: b\r\n\r\n" + next, "!400 host"},
	{"host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n" + next, "!400 host"},
	{"empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n" + next, "!400 host"},
	{"host with path", "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n" + next, "!400 host"},
	{"host with userinfo", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n" + next, "!400 host"},
	{"host with space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" + next, "!400 host"},
	{"host with port", "GET / HTTP/1.1\r\nHost: h:8080\r\n\r\n", "GET / @h:8080"},
	{"host with empty port", "GET / HTTP/1.1\r\nHost: h:\r\n\r\n" + next, "!400 host"},
	{"host with two ports", "GET / HTTP/1.1\r\nHost: h:1:2\r\n\r\n" + next, "!400 host"},
	{"host with port of letters", "GET / HTTP/1.1\r\nHost: h:8a\r\n\r\n" + next, "!400 host"},
	{"host with port too large", "GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n" + next, "!400 host"},
	{"host with question mark", "GET / HTTP/1.1\r\nHost: h?x\r\n\r\n" + next, "!400 host"},
	{"host with escape", "GET / HTTP/1.1\r\nHost: h%2f\r\n\r\n" + next, "!400 host"},
	{"host with non-ASCII", "GET / HTTP/1.1\r\nHost: h\xe9\r\n\r\n" + next, "!400 host"},
	{"host IPv6", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / @[::1]:80"},
	{"host IPv6 with zone", "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n" + next, "!400 host"},
	{"host IPv6 unclosed", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n" + next, "!400 host"},
	{"host in brackets, not IPv6", "GET / HTTP/1.1\r\nHost: [1.2.3.4]\r\n\r\n" + next, "!400 host"},
	{"host in brackets, empty", "GET / HTTP/1.1\r\nHost: []\r\n\r\n" + next, "!400 host"},
	{"host in brackets and more", "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n" + next, "!400 host"},

	// Field lines.
	{"space before colon", get11 + "A : b\r\n\r\n" + next, "!400 bad_name"},
	{"tab before colon", get11 + "A\t: b\r\n\r\n" + next, "!400 bad_name"},
	{"no colon", get11 + "A\r\n\r\n" + next, "!400 bad_name"},
	{"empty name", get11 + ": b\r\n\r\n" + next, "!400 bad_name"},
	{"name with space", get11 + "A B: c\r\n\r\n" + next, "!400 bad_name"},
	{"name with slash", get11 + "A/B: c\r\n\r\n" + next, "!400 bad_name"},
	{"name with NUL", get11 + "A\x00: c\r\n\r\n" + next, "!400 bad_name"},
	{"name with control", get11 + "\x0bContent-Length: 5\r\n\r\n" + next, "!400 bad_name"},
	{"name with obs-text", get11 + "\xffContent-Length: 5\r\n\r\n" + next, "!400 bad_name"},
	{"name in parentheses", get11 + "(A): b\r\n\r\n" + next, "!400 bad_name"},
	{"fold with space", get11 + "A: b\r\n c\r\n\r\n" + next, "!400 fold"},
	{"fold with tab", get11 + "A: b\r\n\tc\r\n\r\n" + next, "!400 fold"},
	{"fold of a framing field", post11 + "Transfer-Encoding:\r\n chunked\r\n\r\n" + next, "!400 fold"},
	{"fold of white space only", get11 + "A: b\r\n \r\n\r\n" + next, "!400 fold"},
	{"fold of a field look-alike", get11 + "A: b\r\n Content-Length: 5\r\n\r\n" + next, "!400 fold"},
	{"white space before the first line", "GET / HTTP/1.1\r\n Host: h\r\n\r\n" + next, "!400 fold"},
	{"NUL in value", get11 + "A: b\x00c\r\n\r\n" + next, "!400 bad_value"},
	{"DEL in value", get11 + "A: b\x7f\r\n\r\n" + next, "!400 bad_value"},
	{"escape in value", get11 + "A: \x1b[0m\r\n\r\n" + next, "!400 bad_value"},
	{"vertical tab around value", get11 + "A: \vb\r\n\r\n" + next, "!400 bad_value"},
	{"control far in value", get11 + "A: 0123456789abcdef0123456\x0189\r\n\r\n" + next, "!400 bad_value"},
	{"DEL far in value", get11 + "A: 0123456789abcdef0123456\x7f89\r\n\r\n" + next, "!400 bad_value"},
	{"obs-text around controls' values", get11 + "A: \x80\x9f\xa0\xff\x80\x9f\xa0\xff\r\n\r\n", "GET / @h A=\x80\x9f\xa0\xff\x80\x9f\xa0\xff"},
	{"tab hides control", get11 + "A: 01\t34\x017\r\n\r\n" + next, "!400 bad_value"},
	{"bare CR in value", get11 + "A: b\rContent-Length: 5\r\n\r\n" + next, "!400 bare_cr"},
	{"bare CR in name", get11 + "A\rB: c\r\n\r\n" + next, "!400 bare_cr"},
	{"two CRs behind value", get11 + "A: b\r\r\n\r\n" + next, "!400 bare_cr"},
	{"bare LF behind field", get11 + "A: b\nC: d\r\n\r\n" + next, "!400 bare_lf"},
	{"bare LF ends head", get11 + "\n" + next, "!400 bare_lf"},
	{"bare LF twice", "GET / HTTP/1.1\r\nHost: h\n\n" + next, "!400 bare_lf"},
	{"CR CR LF ends head", get11 + "\r\r\n" + next, "!400 bare_cr"},
	{"LF CR", get11 + "A: b\n\r\r\n" + next, "!400 bare_lf"},
	{"100 lines", get11 + strings.Repeat("A: b\r\n", 99) + "\r\n", "GET / @h" + strings.Repeat(" A=b", 99)},
	{"101 lines", get11 + strings.Repeat("A: b\r\n", 100) + "\r\n" + next, "!431 header_lines"},
	{"head too large", get11 + "A: " + strings.Repeat("b", 32<<10) + "\r\n\r\n" + next, "!431 head_bytes"},
	{"endless head", get11 + "A: " + strings.Repeat("b", 33<<10), "!431 head_bytes"},
	{"connection of no tokens", get11 + "Connection: a b\r\n\r\n" + next, "!400 connection"},
	{"connection quoted", get11 + "Connection: \"close\"\r\n\r\n" + next, "!400 connection"},
	{"connection list with holes", get11 + "Connection: , ,close,\r\n\r\n", "GET / @h close"},
	{"connection of too many", get11 + "Connection: " + strings.Repeat("a,", 33) + "\r\n\r\n" + next, "!400 connection"},
	{"upgrade", get11 + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "GET / @h upgrade=websocket Upgrade=websocket"},
	{"upgrade not in connection", get11 + "Upgrade: websocket\r\n\r\n", "GET / @h Upgrade=websocket"},
	{"upgrade in 1.0", get10 + "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", "GET / 1.0 close Upgrade=websocket"},
	{"upgrade list", get11 + "Connection: keep-alive, upgrade\r\nUpgrade: a/1.0, b\r\n\r\n", "GET / @h upgrade=a/1.0, b Upgrade=a/1.0, b"},
	{"two upgrades", get11 + "Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n" + next, "!400 upgrade"},
	{"empty upgrade", get11 + "Connection: upgrade\r\nUpgrade:\r\n\r\n" + next, "!400 upgrade"},
	{"upgrade of no tokens", get11 + "Connection: upgrade\r\nUpgrade: a b\r\n\r\n" + next, "!400 upgrade"},
	{"expect", post11 + "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx", "POST / @h expect length=1 \"x\""},
	{"expect in 1.0", "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", "POST / 1.0 close length=1 \"x\""},
	{"other expectation", post11 + "Expect: 200-ok\r\n\r\n" + next, "!417 expect"},

	// Length framing.
	{"length", post11 + "Content-Length: 3\r\n\r\nabc" + next, "POST / @h length=3 \"abc\"\nGET /next @h"},
	{"length 0", post11 + "Content-Length: 0\r\n\r\n" + next, "POST / @h length=0 \"\"\nGET /next @h"},
	{"length with GET", get11 + "Content-Length: 3\r\n\r\nabc" + next, "GET / @h length=3 \"abc\"\nGET /next @h"},
	{"length with leading zeros", post11 + "Content-Length: 0003\r\n\r\nabc" + next, "POST / @h length=3 \"abc\"\nGET /next @h"},
	{"length in lower case", post11 + "content-length:3\r\n\r\nabc" + next, "POST / @h length=3 \"abc\"\nGET /next @h"},
	{"no framing", post11 + "\r\n" + next, "POST / @h\nGET /next @h"},
	{"length and body cut", post11 + "Content-Length: 5\r\n\r\nabc", "POST / @h length=5 \"abc\"\n!cut"},
	{"two lengths", post11 + "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabc" + next, "!400 framing"},
	{"two equal lengths", post11 + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + next, "!400 framing"},
	{"length list", post11 + "Content-Length: 3, 3\r\n\r\nabc" + next, "!400 content_length"},
	{"length list of two", post11 + "Content-Length: 3,5\r\n\r\nabc" + next, "!400 content_length"},
	{"length with plus", post11 + "Content-Length: +3\r\n\r\nabc" + next, "!400 content_length"},
	{"length with minus", post11 + "Content-Length: -3\r\n\r\nabc" + next, "!400 content_length"},
	{"length minus 0", post11 + "Content-Length: -0\r\n\r\n" + next, "!400 content_length"},
	{"length in hex", post11 + "Content-Length: 0x3\r\n\r\nabc" + next, "!400 content_length"},
	{"length with space", post11 + "Content-Length: 3 0\r\n\r\nabc" + next, "!400 content_length"},
	{"length with underscore", post11 + "Content-Length: 1_0\r\n\r\nabc" + next, "!400 content_length"},
	{"length with point", post11 + "Content-Length: 3.0\r\n\r\nabc" + next, "!400 content_length"},
	{"length with exponent", post11 + "Content-Length: 3e0\r\n\r\nabc" + next, "!400 content_length"},
	{"length in quotes", post11 + "Content-Length: \"3\"\r\n\r\nabc" + next, "!400 content_length"},
	{"length empty", post11 + "Content-Length:\r\n\r\nabc" + next, "!400 content_length"},
	{"length with parameter", post11 + "Content-Length: 3;a\r\n\r\nabc" + next, "!400 content_length"},
	{"length other digits", post11 + "Content-Length: \xd9\xa3\r\n\r\nabc" + next, "!400 content_length"},
	{"length 2^63", post11 + "Content-Length: 9223372036854775808\r\n\r\nabc" + next, "!400 content_length"},
	{"length 2^64+3", post11 + "Content-Length: 18446744073709551619\r\n\r\nabc" + next, "!400 content_length"},
	{"length 20 digits", post11 + "Content-Length: 00000000000000000003\r\n\r\nabc" + next, "!400 content_length"},
	{"length with NUL", post11 + "Content-Length: 3\x00\r\n\r\nabc" + next, "!400 bad_value"},
	{"length with space before colon", post11 + "Content-Length : 3\r\n\r\nabc" + next, "!400 bad_name"},
	{"length with underscore for hyphen", post11 + "Content_Length: 3\r\n\r\nabc" + next, "!400 framing"},

	// Transfer codings.
	{"chunked", te + "3\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"abc\"\nGET /next @h"},
	{"chunked in any case", post11 + "transfer-encoding:\tCHUNKED \r\n\r\n3\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"abc\"\nGET /next @h"},
	{"chunked with GET", get11 + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, "GET / @h chunked \"\"\nGET /next @h"},
	{"length and chunked", post11 + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, "!400 framing"},
	{"chunked and length", post11 + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n" + next, "!400 framing"},
	{"chunked and length 0", post11 + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n" + next, "!400 framing"},
	{"length and a broken coding", post11 + "Content-Length: 3\r\nTransfer-Encoding: xchunked\r\n\r\nabc" + next, "!400 framing"},
	{"length and an empty coding", post11 + "Content-Length: 3\r\nTransfer-Encoding:\r\n\r\nabc" + next, "!400 framing"},
	{"two codings in two lines", post11 + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, "!400 framing"},
	{"identity and chunked in two lines", post11 + "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, "!400 framing"},
	{"chunked twice", post11 + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + next, "!400 coding"},
	{"chunked not last", post11 + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + next, "!400 coding"},
	{"chunked, identity", post11 + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + next, "!400 coding"},
	{"identity, chunked", post11 + "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + next, "!400 coding"},
	{"identity", post11 + "Transfer-Encoding: identity\r\n\r\n" + next, "!400 coding"},
	{"gzip", post11 + "Transfer-Encoding: gzip\r\n\r\n" + next, "!400 coding"},
	{"gzip, chunked", post11 + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + next, "!501 coding"},
	{"xchunked", post11 + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + next, "!400 coding"},
	{"chunkedx", post11 + "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n" + next, "!400 coding"},
	{"chunked with comma before", post11 + "Transfer-Encoding: , chunked\r\n\r\n0\r\n\r\n" + next, "!400 coding"},
	{"chunked with comma behind", post11 + "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n" + next, "!400 coding"},
	{"chunked with parameter", post11 + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n" + next, "!400 coding"},
	{"chunked in quotes", post11 + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" + next, "!400 coding"},
	{"chunked behind a word", post11 + "Transfer-Encoding: foo chunked\r\n\r\n0\r\n\r\n" + next, "!400 coding"},
	{"chunked behind vertical tab", post11 + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n" + next, "!400 bad_value"},
	{"chunked with NUL", post11 + "Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n" + next, "!400 bad_value"},
	{"chunked behind no-break space", post11 + "Transfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n" + next, "!400 coding"},
	{"chunked with Kelvin sign", post11 + "Transfer-Encoding: chun\xe2\x84\xaaed\r\n\r\n0\r\n\r\n" + next, "!400 coding"},
	{"empty coding", post11 + "Transfer-Encoding:\r\n\r\n" + next, "!400 coding"},
	{"space before colon of coding", post11 + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + next, "!400 bad_name"},
	{"coding with underscore for hyphen", post11 + "Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n" + next, "!400 framing"},
	{"chunked in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next, "!400 coding"},
	{"TE is no framing", get11 + "TE: trailers, chunked\r\n\r\n" + next, "GET / @h TE=trailers, chunked\nGET /next @h"},

	// Chunks.
	{"upper case digits", te + "A\r\n0123456789\r\n0\r\n\r\n", "POST / @h chunked \"0123456789\""},
	{"lower case digits", te + "a\r\n0123456789\r\n0\r\n\r\n", "POST / @h chunked \"0123456789\""},
	{"leading zeros", te + "0003\r\nabc\r\n000\r\n\r\n" + next, "POST / @h chunked \"abc\"\nGET /next @h"},
	{"16 digits", te + "0000000000000003\r\nabc\r\n0\r\n\r\n", "POST / @h chunked \"abc\""},
	{"17 digits", te + "00000000000000003\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"size 2^63", te + "8000000000000000\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"size 2^64+3", te + "10000000000000003\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"size with 0x", te + "0x3\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"size with plus", te + "+3\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"size with minus", te + "-3\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"size with underscore", te + "0_3\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"size with h", te + "3h\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"space before size", te + " 3\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"space behind size", te + "3 \r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"tab behind size", te + "3\t\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"no size", te + "\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"extension without size", te + ";a=b\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"size of no digits", te + "xyz\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"size with NUL", te + "3\x00\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"bare LF behind size", te + "3\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 bare_lf"},
	{"bare CR in size", te + "3\rabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"two CRs behind size", te + "3\r\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"no CRLF behind data", te + "3\r\nabc0\r\n\r\n" + next, "POST / @h chunked \"abc\"\n!400 chunk_line"},
	{"data longer than size", te + "3\r\nabcd\r\n0\r\n\r\n" + next, "POST / @h chunked \"abc\"\n!400 chunk_line"},
	{"bare LF behind data", te + "3\r\nabc\n0\r\n\r\n" + next, "POST / @h chunked \"abc\"\n!400 bare_lf"},
	{"CR and other behind data", te + "3\r\nabc\rX0\r\n\r\n" + next, "POST / @h chunked \"abc\"\n!400 chunk_line"},
	{"data shorter than size", te + "5\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"abc\\r\\n\"\n!400 chunk_line"},
	{"bare LF ends chunks", te + "0\r\n\n" + next, "POST / @h chunked \"\"\n!400 bare_lf"},
	{"bare LF behind last size", te + "0\n\r\n" + next, "POST / @h chunked \"\"\n!400 bare_lf"},
	{"cut in size", te + "3", "POST / @h chunked \"\"\n!cut"},
	{"cut in data", te + "3\r\nab", "POST / @h chunked \"ab\"\n!cut"},
	{"cut behind data", te + "3\r\nabc", "POST / @h chunked \"abc\"\n!cut"},
	{"cut before last chunk", te + "3\r\nabc\r\n", "POST / @h chunked \"abc\"\n!cut"},
	{"cut before the end", te + "3\r\nabc\r\n0\r\n", "POST / @h chunked \"abc\"\n!cut"},
	{"extension", te + "3;a\r\nabc\r\n0;b=c\r\n\r\n" + next, "POST / @h chunked \"abc\"\nGET /next @h"},
	{"extension signature", te + "3;chunk-signature=" + strings.Repeat("f", 64) + "\r\nabc\r\n0\r\n\r\n", "POST / @h chunked \"abc\""},
	{"extension quoted", te + "3;a=\"b;c\\\"d\";e=f\r\nabc\r\n0\r\n\r\n", "POST / @h chunked \"abc\""},
	{"extension with space", te + "3; a=b\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"extension behind space", te + "3 ;a=b\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"extension empty", te + "3;\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"extension empty value", te + "3;a=\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"extension with CRLF in quotes", te + "3;a=\"\r\nabc\r\n0\r\n\r\n\"\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"extension with escaped CR", te + "3;a=\"\\\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"extension with escaped control", te + "3;a=\"\\\x01\"\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"extension with LF", te + "3;a\nb\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 bare_lf"},
	{"extension with bare CR", te + "3;a\rb\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"extension with control", te + "3;a=\"\x01\"\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"extension with text behind quotes", te + "3;a=\"b\"c\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_line"},
	{"extension too long", te + "3;" + strings.Repeat("a", 255) + "\r\nabc\r\n0\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 chunk_bytes"},
	{"extension without end", te + "3;" + strings.Repeat("a", 300), "POST / @h chunked \"\"\n!400 chunk_bytes"},
	{"extensions without data", te + strings.Repeat("1;"+strings.Repeat("a", 200)+"\r\nx\r\n", 90) + "0\r\n\r\n" + next, "POST / @h chunked \"xxxxxxxx\"... 81 bytes\n!400 chunk_bytes"},

	// Trailers.
	{"trailer", te + "3\r\nabc\r\n0\r\nSum: 1\r\n\r\n" + next, "POST / @h chunked \"abc\" {Sum=1}\nGET /next @h"},
	{"framing trailers dropped", te + "0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n" + next, "POST / @h chunked \"\" {A=b}\nGET /next @h"},
	{"routing trailers dropped", te + "0\r\nHost: evil\r\nX-Forwarded-For: 1.1.1.1\r\nAuthorization: x\r\nCookie: a=b\r\nConnection: close\r\n\r\n" + next, "POST / @h chunked \"\"\nGET /next @h"},
	{"trailer folded", te + "0\r\nA: b\r\n c\r\n\r\n" + next, "POST / @h chunked \"\" {A=b}\n!400 trailer"},
	{"trailer with space before colon", te + "0\r\nA : b\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 trailer"},
	{"trailer without colon", te + "0\r\nGET / HTTP/1.1\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 trailer"},
	{"trailer with NUL", te + "0\r\nA: \x00\r\n\r\n" + next, "POST / @h chunked \"\"\n!400 trailer"},
	{"trailer with bare LF", te + "0\r\nA: b\n\r\n" + next, "POST / @h chunked \"\"\n!400 bare_lf"},
	{"trailer too long", te + "0\r\nA: " + strings.Repeat("b", 4096) + "\r\n\r\n" + next, "POST / @h chunked \"\"\n!431 trailer"},
	{"trailers too many", te + "0\r\n" + strings.Repeat("A: b\r\n", 101) + "\r\n" + next, "POST / @h chunked \"\"" + strings.Repeat(" {A=b}", 100) + "\n!431 trailer"},

	// Ends.
	{"nothing", "", "EOF"},
	{"empty line only", "\r\n", "EOF"},
	{"CR only", "\r", "!cut"},
	{"cut in request line", "GET / HT", "!cut"},
	{"cut behind request line", "GET / HTTP/1.1\r\n", "!cut"},
	{"cut in field", get11 + "A: ", "!cut"},
	{"cut before the end of the head", get11, "!cut"},
	{"cut in the end of the head", get11 + "\r", "!cut"},
}

func TestRequestTable(t *testing.T) {
	if len(requestTable) < 200 {
		t.Errorf("the table shrank to %d rows", len(requestTable))
	}
	names := map[string]bool{}
	for _, row := range requestTable {
		if names[row.name] {
			t.Errorf("two rows are named %q", row.name)
		}
		names[row.name] = true
		t.Run(row.name, func(t *testing.T) {
			want := row.want
			if want == "" {
				want = "GET / @h"
			}
			for _, pieces := range splits(row.in) {
				if got := readRequests(scripted(pieces...), Limits{}); got != want {
					t.Fatalf("in %d pieces, the first %.200q:\n got %s\nwant %s", len(pieces), pieces[0], got, want)
				}
			}
		})
	}
}

// TestRequestTableOnSocket runs the table over sockets that are read by
// readiness.
func TestRequestTableOnSocket(t *testing.T) {
	for _, row := range requestTable {
		t.Run(row.name, func(t *testing.T) {
			a, b := socketPair(t)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := 0; i < len(row.in); i += 7 {
					if _, err := b.Write([]byte(row.in[i:min(i+7, len(row.in))])); err != nil {
						break
					}
				}
				b.Close()
			}()
			c := NewConn(a)
			got := readRequests(c, Limits{})
			c.Close()
			<-done
			want := row.want
			if want == "" {
				want = "GET / @h"
			}
			if got != want {
				t.Fatalf("got %s\nwant %s", got, want)
			}
		})
	}
}
