// Package probe provides how a service is asked whether it is there, as a program of its own.
//
// Whoever answers may be hostile, so he is not read by what runs things as root:
// it starts its own program once more, as the user of the task, to ask. What is
// asked stands in the environment, where other users do not see the secrets that
// an address may hold.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// Variable is where it stands what is asked: "http URL" or "tcp HOST:PORT".
const Variable = "FLEETCRON_PROBE"

// Main asks what the environment says, until ctx ends. The error is the sentence
// that says why it is no good answer.
func Main(ctx context.Context) error {
	kind, address, _ := strings.Cut(os.Getenv(Variable), " ")
	os.Unsetenv(Variable)
	switch kind {
	case "http":
		return answersHTTP(ctx, address)
	case "tcp":
		return acceptsTCP(ctx, address)
	}
	return fleet.Errorf(fleet.Usage, "%s is not set: only an agent calls this", Variable)
}

// asker is how HTTP is asked: straight, whatever proxies the environment
// names, each time anew, and with no more read than the head of the answer. A
// redirection is an answer; it is not followed to where somebody else answers.
func asker() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answersHTTP asks for a URL, and returns an error where the answer is not
// 200–399 or there is none.
func answersHTTP(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "fleetcron-agent")
	response, err := asker().Do(request)
	if err != nil {
		return fmt.Errorf("GET %s: %w", request.URL.Redacted(), cause(err))
	}
	response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 399 {
		return fmt.Errorf("GET %s: answered %s", request.URL.Redacted(), response.Status)
	}
	return nil
}

// acceptsTCP connects to host:port and leaves again.
func acceptsTCP(ctx context.Context, address string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", address, cause(err))
	}
	return conn.Close()
}

// cause takes off what http and net say around an error: method and address
// are told already.
func cause(err error) error {
	if wrapped, is := errors.AsType[*url.Error](err); is {
		err = wrapped.Err
	}
	if wrapped, is := errors.AsType[*net.OpError](err); is {
		err = wrapped.Err
	}
	return err
}
