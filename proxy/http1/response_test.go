package http1

import (
	"strings"
	"testing"
)

const ok11 = "HTTP/1.1 200 OK\r\n"

// responseTable is requestTable for what backends send; every rejection has
// status 502.
var responseTable = []struct{ name, method, in, want string }{
	{"length", "GET", ok11 + "Content-Length: 3\r\n\r\nabc" + ok11 + "Content-Length: 0\r\n\r\n", "200 OK length=3 \"abc\"\n200 OK length=0 \"\""},
	{"chunked", "GET", ok11 + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n", "200 OK chunked \"abc\" {A=b}"},
	{"until close", "GET", ok11 + "\r\nabc", "200 OK close until_close \"abc\""},
	{"close", "GET", ok11 + "Connection: close\r\nContent-Length: 3\r\n\r\nabc", "200 OK close length=3 \"abc\""},
	{"http/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", "200 OK 1.0 close length=3 \"abc\""},
	{"http/1.0 keep-alive", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc", "200 OK 1.0 length=3 \"abc\""},
	{"no reason", "GET", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200 length=0 \"\""},
	{"no reason and no space", "GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 length=0 \"\""},
	{"reason of words", "GET", "HTTP/1.1 404 Not Found \xe9\r\nContent-Length: 0\r\n\r\n", "404 Not Found \xe9 length=0 \"\""},
	{"status 999", "GET", "HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n", "999 No length=0 \"\""},
	{"head", "HEAD", ok11 + "Content-Length: 3\r\n\r\n" + ok11 + "Transfer-Encoding: chunked\r\n\r\n" + ok11 + "\r\n", "200 OK declared=3\n200 OK\n200 OK"},
	{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n" + ok11 + "Content-Length: 0\r\n\r\n", "204 No Content\n200 OK length=0 \"\""},
	{"204 with length 0", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "204 No Content declared=0"},
	{"204 with a body", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", "!502 body"},
	{"204 chunked", "GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!502 body"},
	{"204 and bytes behind", "GET", "HTTP/1.1 204 No Content\r\n\r\nabc\r\n", "204 No Content\n!502 status_line"},
	{"304 with length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", "304 Not Modified declared=3"},
	{"304 chunked", "GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "304 Not Modified"},
	{"100 then 200", "POST", "HTTP/1.1 100 Continue\r\n\r\n" + ok11 + "Content-Length: 0\r\n\r\n", "100 Continue\n200 OK length=0 \"\""},
	{"103 with fields", "GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok11 + "Content-Length: 0\r\n\r\n", "103 Early Hints Link=</a>\n200 OK length=0 \"\""},
	{"100 with a body", "POST", "HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\nabc", "!502 body"},
	{"101", "GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi", "101 Switching Protocols close upgrade=websocket Upgrade=websocket\nrest \"\\x81\\x02hi\""},
	{"101 chunked", "GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n", "!502 body"},

	{"http/0.9", "GET", "<html>\r\n", "!502 status_line"},
	{"empty line before", "GET", "\r\n" + ok11 + "\r\n", "!502 status_line"},
	{"version 2", "GET", "HTTP/2 200 OK\r\n\r\n", "!502 status_line"},
	{"version 1.2", "GET", "HTTP/1.2 200 OK\r\n\r\n", "!502 status_line"},
	{"version in lower case", "GET", "http/1.1 200 OK\r\n\r\n", "!502 status_line"},
	{"other protocol", "GET", "ICY 200 OK\r\n\r\n", "!502 status_line"},
	{"two spaces", "GET", "HTTP/1.1  200 OK\r\n\r\n", "!502 status_line"},
	{"tab", "GET", "HTTP/1.1\t200 OK\r\n\r\n", "!502 status_line"},
	{"two digits", "GET", "HTTP/1.1 20 OK\r\n\r\n", "!502 status_line"},
	{"four digits", "GET", "HTTP/1.1 2000 OK\r\n\r\n", "!502 status_line"},
	{"letters", "GET", "HTTP/1.1 2x0 OK\r\n\r\n", "!502 status_line"},
	{"sign", "GET", "HTTP/1.1 +20 OK\r\n\r\n", "!502 status_line"},
	{"status 099", "GET", "HTTP/1.1 099 OK\r\n\r\n", "!502 status_line"},
	{"no status", "GET", "HTTP/1.1\r\n\r\n", "!502 status_line"},
	{"control in reason", "GET", "HTTP/1.1 200 O\x00K\r\n\r\n", "!502 status_line"},
	{"bare CR in reason", "GET", "HTTP/1.1 200 O\rK\r\n\r\n", "!502 status_line"},
	{"long status line", "GET", "HTTP/1.1 200 " + strings.Repeat("a", 17<<10), "!502 status_line"},
	{"bare LF behind status line", "GET", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "!502 bare_lf"},
	{"bare LF ends head", "GET", ok11 + "Content-Length: 0\r\n\nabc", "!502 bare_lf"},
	{"fold", "GET", ok11 + "A: b\r\n c\r\n\r\n", "!502 fold"},
	{"space before colon", "GET", ok11 + "Content-Length : 3\r\n\r\nabc", "!502 bad_name"},
	{"NUL in value", "GET", ok11 + "A: \x00\r\n\r\n", "!502 bad_value"},
	{"bare CR in value", "GET", ok11 + "A: b\rSet-Cookie: x\r\n\r\n", "!502 bare_cr"},
	{"length and chunked", "GET", ok11 + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!502 framing"},
	{"chunked and length to head", "HEAD", ok11 + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", "!502 framing"},
	{"two lengths", "GET", ok11 + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "!502 framing"},
	{"two equal lengths", "GET", ok11 + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "!502 framing"},
	{"length list", "GET", ok11 + "Content-Length: 3, 3\r\n\r\nabc", "!502 content_length"},
	{"length negative", "GET", ok11 + "Content-Length: -1\r\n\r\n", "!502 content_length"},
	{"coding identity", "GET", ok11 + "Transfer-Encoding: identity\r\n\r\nabc", "!502 coding"},
	{"coding gzip", "GET", ok11 + "Transfer-Encoding: gzip, chunked\r\n\r\nabc", "!502 coding"},
	{"chunked twice", "GET", ok11 + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!502 framing"},
	{"chunked in 1.0", "GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!502 coding"},
	{"chunk size with 0x", "GET", ok11 + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", "200 OK chunked \"\"\n!502 chunk_line"},
	{"bare LF in chunks", "GET", ok11 + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", "200 OK chunked \"\"\n!502 bare_lf"},
	{"body cut", "GET", ok11 + "Content-Length: 5\r\n\r\nabc", "200 OK length=5 \"abc\"\n!cut"},
	{"chunks cut", "GET", ok11 + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "200 OK chunked \"abc\"\n!cut"},
	{"head too large", "GET", ok11 + "A: " + strings.Repeat("b", 33<<10), "!502 head_bytes"},
	{"lines too many", "GET", ok11 + strings.Repeat("A: b\r\n", 101) + "\r\n", "!502 header_lines"},
	{"host and expect mean nothing", "GET", ok11 + "Host: a b\r\nHost: c\r\nExpect: x\r\nContent-Length: 0\r\n\r\n", "200 OK length=0 \"\""},
	{"nothing", "GET", "", "EOF"},
	{"cut in head", "GET", ok11, "!cut"},
}

func TestResponseTable(t *testing.T) {
	for _, row := range responseTable {
		t.Run(row.name, func(t *testing.T) {
			for _, pieces := range splits(row.in) {
				if got := readResponses(scripted(pieces...), row.method, Limits{}); got != row.want {
					t.Fatalf("in %d pieces, the first %.200q:\n got %s\nwant %s", len(pieces), pieces[0], got, row.want)
				}
			}
		})
	}
}

func TestInterim(t *testing.T) {
	for status, want := range map[int]bool{100: true, 101: false, 102: true, 103: true, 199: true, 200: false, 204: false} {
		if got := (&Response{Status: status}).Interim(); got != want {
			t.Errorf("%d: %v", status, got)
		}
	}
}
