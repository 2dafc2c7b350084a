//go:build acceptance

package acceptance

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/fleetcron/fleetcron/shared/author"
	"github.com/fleetcron/fleetcron/shared/pki"
)

// visitor asks as the cluster's first person: the API with the token, the pages
// within a session.
type visitor struct {
	api, pages http.RoundTripper
	token      string
}

// RoundTrip sends the token over TLS alone.
func (v visitor) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return v.pages.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+v.token)
	return v.api.RoundTrip(r)
}

// browser returns a client that is logged in at the web page of the first
// collector and that the API knows.
func (c *cluster) browser() *http.Client {
	c.t.Helper()
	if c.visitor != nil {
		return c.visitor
	}
	token, err := os.ReadFile(filepath.Join(c.kit, "token"))
	if err != nil {
		c.t.Fatal(err)
	}
	root, id, err := (&author.Access{CAFile: filepath.Join(c.kit, "ca.pem")}).Root()
	if err != nil {
		c.t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	v := visitor{&http.Transport{TLSClientConfig: pki.RootTLS(root, id, pki.PlaneOperator)}, &http.Transport{}, strings.TrimSpace(string(token))}
	c.visitor = &http.Client{Transport: v, Jar: jar}
	address := strings.Replace(strings.Replace(c.addresses[0], "https", "http", 1), ":7770", ":7780", 1)
	reply, err := c.visitor.PostForm(address+"/login", url.Values{"secret": {v.token}})
	if err != nil {
		c.t.Fatal(err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK || reply.Request.URL.Path != "/" {
		c.t.Fatalf("login: %s at %s", reply.Status, reply.Request.URL)
	}
	return c.visitor
}
