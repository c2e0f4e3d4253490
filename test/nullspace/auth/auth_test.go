package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

const (
	oldKey = "the-old-signing-key-of-this-test"
	newKey = "the-new-signing-key-of-this-test"
)

var noon = time.Unix(1_700_000_000, 0)

func at(now time.Time, current, previous string) *signer {
	return &signer{
		current: service.NewSecret(current), previous: service.NewSecret(previous),
		ttl: time.Minute, now: func() time.Time { return now },
	}
}

func TestTokensThroughARotation(t *testing.T) {
	old, _ := at(noon, oldKey, "").issue("player-1")
	fresh, _ := at(noon, newKey, oldKey).issue("player-1")
	cases := []struct {
		story string
		by    *signer
		token string
		key   string
		err   error
	}{
		{"before", at(noon, oldKey, ""), old, "current", nil},
		{"overlap, old token", at(noon, newKey, oldKey), old, "previous", nil},
		{"overlap, new token", at(noon, newKey, oldKey), fresh, "current", nil},
		{"a host not yet rolled, new token", at(noon, oldKey, ""), fresh, "", errSignature},
		{"a host staged first, new token", at(noon, oldKey, newKey), fresh, "previous", nil},
		{"after, old token", at(noon, newKey, ""), old, "", errSignature},
		{"a second before its end", at(noon.Add(59*time.Second), oldKey, ""), old, "current", nil},
		{"at its end", at(noon.Add(time.Minute), oldKey, ""), old, "", errExpired},
	}
	for _, c := range cases {
		t.Run(c.story, func(t *testing.T) {
			claimed, key, err := c.by.verify(c.token)
			if !errors.Is(err, c.err) || key != c.key || (err == nil && claimed.Subject != "player-1") {
				t.Errorf("verified as %+v by %q: %v", claimed, key, err)
			}
		})
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	signer := at(noon, newKey, "")
	token, _ := signer.issue("player-1")
	encoded, signature, _ := strings.Cut(token, ".")
	other := encoding.EncodeToString([]byte(`{"sub":"admin","exp":99999999999}`))
	unkeyed := encoding.EncodeToString(mac(service.Secret{}, other))
	for story, forged := range map[string]string{
		"nothing": "", "no signature": encoded, "an empty signature": encoded + ".",
		"other claims": other + "." + signature, "half a signature": encoded + "." + signature[:20],
		"signed with no key": other + "." + unkeyed, "something after": token + "x", "padding": token + "=",
	} {
		if claimed, _, err := signer.verify(forged); err == nil {
			t.Errorf("%s: taken as %+v", story, claimed)
		}
	}
}

func TestRoutes(t *testing.T) {
	server, err := build(service.NewProcess("auth", service.MapEnv(map[string]string{
		"AUTH_SIGNING_KEY": newKey, "NULLSPACE_INSTANCE": "core-1",
	}), io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	post := func(path, body string) (int, []byte) {
		answer := httptest.NewRecorder()
		server.Handler.ServeHTTP(answer, httptest.NewRequest("POST", path, strings.NewReader(body)))
		return answer.Code, answer.Body.Bytes()
	}
	code, body := post("/token", `{"subject":"player-1"}`)
	var issued Issued
	if err := json.Unmarshal(body, &issued); err != nil || code != 200 {
		t.Fatalf("token: %d %s", code, body)
	}
	code, body = post("/verify", `{"token":"`+issued.Token+`"}`)
	var verified Verified
	if err := json.Unmarshal(body, &verified); err != nil || code != 200 {
		t.Fatalf("verify: %d %s", code, body)
	}
	want := Verified{Subject: "player-1", ExpiresAt: issued.ExpiresAt, SignedBy: "current", Instance: "core-1"}
	if verified != want {
		t.Errorf("verified %+v, want %+v", verified, want)
	}
	for _, bad := range []struct {
		path, body string
		code       int
	}{
		{"/verify", `{"token":"a.b"}`, http.StatusUnauthorized},
		{"/verify", `nonsense`, http.StatusBadRequest},
		{"/token", `{}`, http.StatusBadRequest},
		{"/token", `{"subject":"` + strings.Repeat("x", bodyLimit) + `"}`, http.StatusBadRequest},
	} {
		if code, body := post(bad.path, bad.body); code != bad.code {
			t.Errorf("%s %.30s: %d %s, want %d", bad.path, bad.body, code, body, bad.code)
		}
	}
}

func TestAWeakKeyIsRefusedAndNotShown(t *testing.T) {
	for key, want := range map[string]string{"": "AUTH_SIGNING_KEY is not set", "weakling": "AUTH_SIGNING_KEY has 8 bytes"} {
		_, err := build(service.NewProcess("auth", service.MapEnv(map[string]string{"AUTH_SIGNING_KEY": key}), io.Discard))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "weakling") {
			t.Errorf("with %q: %v", key, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	signer := at(noon, newKey, oldKey)
	genuine, _ := signer.issue("player-1")
	for _, seed := range []string{genuine, "", ".", "a.b", genuine + ".", "e30." + strings.Repeat("A", 43)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if claimed, _, err := signer.verify(token); err == nil && token != genuine {
			t.Fatalf("%q is taken as %+v", token, claimed)
		}
	})
}
