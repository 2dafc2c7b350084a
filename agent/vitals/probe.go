package vitals

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/fleetcron/fleetcron/shared/fleet"
)

// detailMost is how many bytes a bad answer may have.
const detailMost = 300

// probe asks once whether a supervised command does its work; nil: it does.
func (v *Vitals) probe(ctx context.Context, a ask) error {
	switch {
	case a.health.HTTP != "":
		return AnswersHTTP(ctx, a.health.HTTP)
	case a.health.TCP != "":
		return AcceptsTCP(ctx, a.health.TCP)
	}
	output, err := v.config.Runs.Check(ctx, a.execute, a.health.Exec)
	if err == nil {
		return nil
	}
	if said := Printable(output, detailMost); said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
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

// AnswersHTTP asks for a URL, and returns an error where the answer is not
// 200–399 or there is none.
func AnswersHTTP(ctx context.Context, address string) error {
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

// AcceptsTCP connects to host:port and leaves again.
func AcceptsTCP(ctx context.Context, address string) error {
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

// problemOf is what is wrong, in one line; empty: nothing.
func problemOf(ctx context.Context, a ask, err error) string {
	switch {
	case err == nil:
		return ""
	case ctx.Err() != nil:
		return noAnswer(&a.health)
	}
	return Printable(err.Error(), detailMost)
}

func noAnswer(health *fleet.Health) string {
	return Printable(fmt.Sprintf("%s: no answer within %s", asked(health), fleet.Duration(timeout(health))), detailMost)
}

// asked is what a probe does.
func asked(health *fleet.Health) string {
	switch {
	case health.HTTP != "":
		if address, err := url.Parse(health.HTTP); err == nil {
			return "GET " + address.Redacted()
		}
	case health.TCP != "":
		return "connect to " + health.TCP
	case len(health.Exec) > 0:
		return health.Exec[0]
	}
	return "probe"
}
