package auth

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
)

// The example users file of the original: the hash of "password" under md5, 100
// iterations and 32 bytes, 44 characters of base64, and behind it the salt, whose
// text is used as it stands.
const exampleHash = "rCOSZxJrgze2AZdVQh12c6ErDMOG0M+Rx5Yu7S5d91c=GS4SbTQYmoaGwjm2shEobg=="

func newHash(t *testing.T, digest string, iterations, length int) *Hash {
	t.Helper()
	h, err := NewHash(digest, iterations, length)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHashExample(t *testing.T) {
	h := newHash(t, "md5", 100, 32)
	got, err := h.Sum("password", exampleHash[44:])
	if err != nil || got != exampleHash {
		t.Errorf("hash is %q, %v; want %q", got, err, exampleHash)
	}
}

// TestHashVectors holds PBKDF2-HMAC-SHA1 to the vectors of RFC 6070.
func TestHashVectors(t *testing.T) {
	f := func(password, salt string, iterations, length int, want string) {
		t.Helper()
		key, err := hex.DecodeString(want)
		if err != nil {
			t.Fatal(err)
		}
		want = base64.StdEncoding.EncodeToString(key)
		got, err := newHash(t, "sha1", iterations, length).Sum(password, salt)
		if err != nil || got != want+salt {
			t.Errorf("%q with %q: %q, %v; want %q", password, salt, got, err, want+salt)
		}
	}
	f("password", "salt", 1, 20, "0c60c80f961f0e71f3a9b524af6012062fe037a6")
	f("password", "salt", 2, 20, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957")
	f("password", "salt", 4096, 20, "4b007901b765489abead49d926f721d065a429c1")
	f("pass\x00word", "sa\x00lt", 4096, 16, "56fa6aa75548099dcc37d7f03425e0c3")
}

func TestHashCreate(t *testing.T) {
	h := newHash(t, "SHA512", 10, 48)
	one, err := h.Create("word")
	if err != nil {
		t.Fatal(err)
	}
	two, err := h.Create("word")
	if err != nil {
		t.Fatal(err)
	}
	if one == two {
		t.Error("two hashes have the same salt")
	}
	if again, err := h.Sum("word", one[64:]); err != nil || again != one {
		t.Errorf("hash %q is %q when it is checked, %v", one, again, err)
	}
}

func TestHashSettings(t *testing.T) {
	f := func(digest string, iterations, length int, want string) {
		t.Helper()
		_, err := NewHash(digest, iterations, length)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s, %d, %d: error %v, want %q", digest, iterations, length, err, want)
		}
	}
	f("rot13", 1, 1, `unknown hashing algorithm "rot13", one of md5, sha1`)
	f("md5", 0, 32, "must be positive")
	f("md5", 100, 0, "must be positive")
}

func newFile(t *testing.T, users map[string]User, h *Hash, report bool) *File {
	t.Helper()
	m, err := NewFile(users, h, report)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFileHashed(t *testing.T) {
	users := map[string]User{"userA": {Password: exampleHash,
		ClientData: json.RawMessage(`{"favouriteColor":"red"}`), ServerData: json.RawMessage(`{"someOptional":"auth-data"}`)}}
	m := newFile(t, users, newHash(t, "md5", 100, 32), true)
	f := func(authData, want string) {
		t.Helper()
		if got := judge(m, authData); got != want {
			t.Errorf("%s: %s, want %s", authData, got, want)
		}
	}
	f(`{"username":"userA","password":"password"}`,
		`yes userA client={"favouriteColor":"red"} server={"someOptional":"auth-data"}`)
	f(`{"username":"userA","password":"passwor"}`, "no")
	f(`{"username":"userA","password":"`+exampleHash+`"}`, "no")
	f(`{"username":"userB","password":"password"}`, "next")
}

func TestFilePlain(t *testing.T) {
	const missing = `no client={"error":"missing authentication parameter: username or/and password"}`
	users := map[string]User{"ada": {Password: "s3cret"}, "bob": {Password: "other"}}
	f := func(report bool, authData, want string) {
		t.Helper()
		if got := judge(newFile(t, users, nil, report), authData); got != want {
			t.Errorf("report %t, %s: %s, want %s", report, authData, got, want)
		}
	}
	for _, report := range []bool{true, false} {
		f(report, `{"username":"ada","password":"s3cret"}`, "yes ada")
		f(report, `{"username":"bob","password":"other"}`, "yes bob")
		f(report, `{"username":"eve","password":"s3cret"}`, "next")
		f(report, `{"username":"ada","password":"s3cret","Username":"bob"}`, "yes ada")
	}
	// Whether another method is asked after a doubt is what report decides.
	f(true, `{"username":"ada","password":"other"}`, "no")
	f(false, `{"username":"ada","password":"other"}`, "next")
	for _, authData := range []string{`{}`, `{"username":"ada"}`, `{"password":"s3cret"}`, `{"username":1,"password":2}`, `{"username":"ada","password":null}`,
		`{"Username":"ada","PASSWORD":"s3cret"}`} {
		f(true, authData, missing)
		f(false, authData, "next")
	}
}

func TestFileSettings(t *testing.T) {
	f := func(users map[string]User, h *Hash, want string) {
		t.Helper()
		_, err := NewFile(users, h, true)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", users, err, want)
		}
	}
	h := newHash(t, "md5", 100, 32)
	f(nil, nil, "no users present in user file")
	f(map[string]User{"ada": {}}, nil, `missing password for user "ada"`)
	f(map[string]User{"ada": {Password: "in clear text"}}, h, `password of user "ada" is not a hash`)
	f(map[string]User{"ada": {Password: exampleHash[:44]}}, h, `password of user "ada" is not a hash`)
}
