package record

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestSetPath(t *testing.T) {
	f := func(doc, path, value, want string) {
		t.Helper()
		got, err := setPath(doc, path, value)
		if err != nil || got != want {
			t.Errorf("%s in %s: got %s, %v, want %s", path, doc, got, err, want)
		}
	}
	f(`{}`, "a", `1`, `{"a":1}`)
	f(`{"a":1}`, "a", `"x"`, `{"a":"x"}`)
	f(`{"a":1}`, "b.c", `5`, `{"a":1,"b":{"c":5}}`)
	f(`{"b":{"c":5}}`, "b.d", `6`, `{"b":{"c":5,"d":6}}`)
	f(`{ "b" : { "c" : [ 1 , 2 ] } }`, "b.c[1]", `9`, `{ "b" : { "c" : [ 1 , 9 ] } }`)
	f(`{}`, "a[2]", `1`, `{"a":[null,null,1]}`)
	f(`{"a":[1]}`, "a[3]", `2`, `{"a":[1,null,null,2]}`)
	f(`{"a":[]}`, "a[1]", `2`, `{"a":[null,2]}`)
	f(`{"a":[1]}`, "a[0].b", `2`, `{"a":[{"b":2}]}`)
	f(`{"a":5}`, "a.b", `2`, `{"a":{"b":2}}`)
	f(`{"a":null}`, "a[0]", `2`, `{"a":[2]}`)
	f(`[1,2]`, "[0]", `7`, `[7,2]`)
	f(`[[1],2]`, "[0][0]", `7`, `[[7],2]`)
	f(`{"a":[1]}`, "a.0", `2`, `{"a":[2]}`)
	f(`{}`, "a.0", `2`, `{"a":{"0":2}}`)
	f(`{"a":[1]}`, "a.x", `2`, `{"a":[1]}`)
	f(`{"a":{}}`, "a[0]", `2`, `{"a":{"0":2}}`)
	f(`{}`, " a . b ", `2`, `{"a":{"b":2}}`)
	f(`{}`, "a..b", `2`, `{"a":{"b":2}}`)
	f(`{"\u0061":1}`, "a", `2`, `{"\u0061":2}`)
	f(`{"x":"a\"]}","a":1}`, "a", `2`, `{"x":"a\"]}","a":2}`)
	f(`{"a":1,"a":2}`, "a", `3`, `{"a":1,"a":3}`)
	// Removal.
	f(`{"a":1,"b":2}`, "a", ``, `{"b":2}`)
	f(`{"a":1,"b":2}`, "b", ``, `{"a":1}`)
	f(`{"a":1,"b":2,"c":3}`, "b", ``, `{"a":1,"c":3}`)
	f(`{ "a" : 1 }`, "a", ``, `{  }`)
	f(`{"a":[1,2]}`, "a[0]", ``, `{"a":[null,2]}`)
	f(`{"a":[1,2]}`, "a[5]", ``, `{"a":[1,2]}`)
	f(`{}`, "a", ``, `{}`)
	f(`{}`, "a.b", ``, `{"a":{}}`)
	f(`{}`, "a[0]", ``, `{"a":[]}`)
}

func TestSetPathRefuses(t *testing.T) {
	f := func(doc, path string) {
		t.Helper()
		if got, err := setPath(doc, path, "1"); err == nil {
			t.Errorf("%s in %s: got %s and no error", path, doc, got)
		}
	}
	f(`{}`, "")
	f(`{}`, ".")
	f(`{}`, "__proto__.x")
	f(`{}`, "a.constructor")
	f(`{}`, "a[b]")
	f(`{}`, "a[1")
	f(`{}`, "a[-1]")
	f(`{}`, "a[1]b")
	f(`{"a":[]}`, "a[4000000]")
	f(`{}`, "a[4000000]")
	if _, err := setPath(`5`, "a", "1"); !errors.Is(err, errNoPlace) {
		t.Errorf("a number has no places: %v", err)
	}
}

// model sets a path the slow way, in objects.
func model(node any, tokens []token, value any, remove bool) any {
	t := tokens[0]
	last := len(tokens) == 1
	next := func(v any) any {
		if last {
			return value
		}
		switch v.(type) {
		case map[string]any, []any:
		default:
			if tokens[1].isIndex {
				v = []any{}
			} else {
				v = map[string]any{}
			}
		}
		return model(v, tokens[1:], value, remove)
	}
	switch n := node.(type) {
	case map[string]any:
		if last && remove {
			delete(n, t.key)
		} else {
			n[t.key] = next(n[t.key])
		}
		return n
	case []any:
		if last && remove {
			if t.index < len(n) {
				n[t.index] = nil
			}
			return n
		}
		for len(n) <= t.index {
			n = append(n, nil)
		}
		n[t.index] = next(n[t.index])
		return n
	}
	return node
}

// TestSetPathModel compares with the same operation on objects.
func TestSetPathModel(t *testing.T) {
	keys := rapid.SampledFrom([]string{"a", "b", "c", "ü", `q"`})
	var value *rapid.Generator[any]
	value = rapid.Deferred(func() *rapid.Generator[any] {
		return rapid.OneOf(
			rapid.Map(rapid.Float64Range(-9, 9), func(f float64) any { return f }),
			rapid.Map(rapid.String(), func(s string) any { return s }),
			rapid.Map(rapid.Bool(), func(b bool) any { return b }),
			rapid.Just[any](nil),
			rapid.Map(rapid.MapOfN(keys, value, 0, 3), func(m map[string]any) any { return m }),
			rapid.Map(rapid.SliceOfN(value, 0, 3), func(s []any) any { return s }),
		)
	})
	rapid.Check(t, func(t *rapid.T) {
		doc := any(rapid.MapOfN(keys, value, 0, 4).Draw(t, "doc"))
		indent := rapid.Bool().Draw(t, "indent")
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			var tokens []token
			path := keys.Draw(t, "key")
			tokens = append(tokens, token{key: path})
			node := doc.(map[string]any)[path]
			for range rapid.IntRange(0, 3).Draw(t, "depth") {
				// Stay with what JSON can hold: keys for objects, indices for arrays.
				switch n := node.(type) {
				case []any:
					i := rapid.IntRange(0, 3).Draw(t, "index")
					tokens = append(tokens, token{isIndex: true, index: i})
					path += "[" + string(rune('0'+i)) + "]"
					node = nil
					if i < len(n) {
						node = n[i]
					}
				case map[string]any:
					k := keys.Draw(t, "key")
					tokens = append(tokens, token{key: k})
					path += "." + k
					node = n[k]
				default:
					k := keys.Draw(t, "new key")
					tokens = append(tokens, token{key: k})
					path += "." + k
					node = nil
				}
			}
			v := value.Draw(t, "value")
			remove := rapid.Bool().Draw(t, "remove")
			text := marshal(doc, indent)
			data := ""
			if !remove {
				data = marshal(v, indent)
			}
			got, err := setPath(text, path, data)
			if err != nil {
				t.Fatalf("%s in %s: %v", path, text, err)
			}
			doc = model(doc, tokens, v, remove)
			var have any
			if err := json.Unmarshal([]byte(got), &have); err != nil {
				t.Fatalf("%s in %s: %s is no JSON", path, text, got)
			}
			if diff := cmp.Diff(unmarshal(marshal(doc, false)), have); diff != "" {
				t.Fatalf("%s = %s in %s (-want +got):\n%s", path, data, text, diff)
			}
			doc = have
		}
	})
}

func marshal(v any, indent bool) string {
	b, err := json.Marshal(v)
	if indent {
		b, err = json.MarshalIndent(v, " ", "\t")
	}
	if err != nil {
		panic(err)
	}
	return string(b)
}

func unmarshal(s string) (v any) {
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		panic(err)
	}
	return v
}

func FuzzSetPath(f *testing.F) {
	f.Add(`{"a":[1,{"b":2}]}`, "a[1].b", `3`)
	f.Add(`[]`, "[2]", ``)
	f.Fuzz(func(t *testing.T, doc, path, value string) {
		if !json.Valid([]byte(doc)) || value != "" && !json.Valid([]byte(value)) {
			return
		}
		if got, err := setPath(doc, path, value); err == nil && !json.Valid([]byte(got)) {
			t.Fatalf("%q in %q: %q is no JSON", path, doc, got)
		}
	})
}

// FuzzPatches: what comes of a PATCH_MULTI is JSON, and the same as its patches make
// one after the other; one that cannot be done leaves nothing.
func FuzzPatches(f *testing.F) {
	f.Add(`{"a":1}`, `[{"path":"b[1]","data":{"c":2}},{"path":"a"}]`)
	f.Add(`[1,2]`, `[{"path":"[1]","data":null}]`)
	f.Add(`{}`, `[{"path":"a"},{"path":"["}]`)
	f.Fuzz(func(t *testing.T, doc, patches string) {
		if !json.Valid([]byte(doc)) {
			return
		}
		got, err := applyAll(doc, patches)
		if err != nil {
			if got != "" {
				t.Fatalf("%s to %s: %v, and %s", patches, doc, err, got)
			}
			return
		}
		var list []struct {
			Path string
			Data json.RawMessage
		}
		if err := json.Unmarshal([]byte(patches), &list); err != nil || len(list) == 0 {
			t.Fatalf("%s was carried out", patches)
		}
		want := doc
		for _, p := range list {
			if want, err = setPath(want, p.Path, string(p.Data)); err != nil {
				t.Fatal(err)
			}
		}
		if got != want || !json.Valid([]byte(got)) {
			t.Fatalf("%s to %s: %s, want %s", patches, doc, got, want)
		}
	})
}

func BenchmarkSetPath(b *testing.B) {
	doc := `{"name":"Ada","tags":["x","y"],"position":{"x":12.5,"y":7},"notes":"a longer text that nobody reads"}`
	b.ReportAllocs()
	for b.Loop() {
		if _, err := setPath(doc, "position.x", "13"); err != nil {
			b.Fatal(err)
		}
	}
}
