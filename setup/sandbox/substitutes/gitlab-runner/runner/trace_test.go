package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func same(t *testing.T, what string, got, wanted any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Errorf("%s: %v, wanted %v", what, got, wanted)
	}
}

// shown is what a trace shows of these writes.
func shown(t *testing.T, secrets []string, writes ...string) string {
	t.Helper()
	trace := &Trace{most: 1 << 20}
	for _, one := range secrets {
		trace.secrets = append(trace.secrets, []byte(one))
	}
	for _, one := range writes {
		trace.Write([]byte(one))
	}
	trace.take(true)
	return string(trace.text)
}

func TestSecretsAreMaskedWhereverTheyAreCut(t *testing.T) {
	const secret = "tops3cret"
	for i := range secret {
		same(t, fmt.Sprint("cut at ", i), shown(t, []string{secret}, "a "+secret[:i], secret[i:]+" b"), "a [MASKED] b")
	}
	same(t, "twice, and once not whole", shown(t, []string{secret}, "tops3crettops3crettops3cre"), "[MASKED][MASKED]tops3cre")
	same(t, "a beginning that was none", shown(t, []string{secret}, "toptops3cret"), "top[MASKED]")
	same(t, "in the order of the list", shown(t, []string{"abc", "abcdef"}, "abcdef"), "[MASKED]def")
	same(t, "letters that are cut", shown(t, nil, "\xc3", "\xa4\xff\xc3"), "ä\ufffd\ufffd")
}

func TestTextOverTheLimitIsLeftOut(t *testing.T) {
	trace := &Trace{most: 10}
	trace.Write([]byte("1234567890"))
	trace.Write([]byte("x and more"))
	if text := string(trace.text); !strings.HasPrefix(text, "1234567890\n") || !strings.Contains(text, "exceeded limit of 10 bytes") || strings.Contains(text, "more\n") {
		t.Error(text)
	}
}

func TestTheTemplateFillsOnlyWhatIsEmpty(t *testing.T) {
	into := table{"name": "ours", "limit": nil, "kubernetes": table{"namespace": "ours", "image": ""}}
	merge(into, table{"name": "theirs", "limit": 2, "kubernetes": table{"namespace": "theirs", "image": "theirs", "more": table{"a": 1}}})
	same(t, "merged", into, table{"name": "ours", "limit": 2, "kubernetes": table{"namespace": "ours", "image": "theirs", "more": table{"a": 1}}})
}

func TestNamesAndAddresses(t *testing.T) {
	same(t, "a pod's name", safeName("runner-A_b.1-"+strings.Repeat("x", 80)), "runner-ab1-"+strings.Repeat("x", 52))
	for _, address := range []string{"http://a", "http://a/", "http://a/ci", "http://a/ci/"} {
		same(t, address, api(address), "http://a/api/v4/")
	}
	same(t, "a short token", short("abc"), "abc")
}

func TestVariablesAreExpandedOnce(t *testing.T) {
	vs := variables{{Key: "A", Value: "1"}, {Key: "B", Value: "$A ${A} $$A $none $1 $C"}, {Key: "A", Value: "2"}, {Key: "C", Value: "$A"}, {Key: "R", Value: "$A", Raw: true}}
	same(t, "values", []string{vs.expanded().get("B"), vs.expanded().get("R")}, []string{"2 2 $A   $A", "$A"})
}

func TestPatternsOfArtifacts(t *testing.T) {
	t.Chdir(t.TempDir())
	os.MkdirAll("out/deep", 0o755)
	for _, name := range []string{"out/a.txt", "out/deep/b.txt", "c.txt"} {
		os.WriteFile(name, nil, 0o644)
	}
	for pattern, wanted := range map[string]string{"out": "[out out/a.txt out/deep out/deep/b.txt]", "out/*.txt": "[out/a.txt]", "**/*.txt": "[c.txt out/a.txt out/deep/b.txt]",
		"*.txt": "[c.txt]", "../x": "[]", "none/": "[]"} {
		same(t, pattern, matching(pattern), wanted)
	}
}

func TestAnswersOf400AndAboveAreRestedUpon(t *testing.T) {
	status := 500
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer web.Close()
	server, err := open(web.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	took := func(method string) time.Duration {
		began := time.Now()
		server.ask(context.Background(), method, "x", nil, nil)
		return time.Since(began)
	}
	for range 2 {
		if rest := took("POST"); rest < 100*time.Millisecond {
			t.Error("no rest", rest)
		}
	}
	same(t, "for each method", []int{server.failed["POST"], server.failed["PUT"]}, []int{2, 0})
	status = 204
	took("POST")
	same(t, "an answer that is well ends it", server.failed["POST"], 0)
}

func TestPullPolicies(t *testing.T) {
	list := func(of any) any {
		found, err := (&KubernetesConfig{PullPolicy: of}).policies()
		if err != nil {
			return err
		}
		return found
	}
	same(t, "none", list(nil), []string{""})
	same(t, "several", list([]any{"always", "never"}), "[Always Never]")
	same(t, "unknown", list("sometimes"), `unsupported kubernetes-pull-policy: "sometimes"`)
}
