package collector

import (
	"context"
	"log/slog"
	"time"

	"github.com/fleetcron/fleetcron/shared/pki"
)

// A collector's own certificates are looked at each day; a person hears of one
// that ends within the month.
const (
	lookEvery = 24 * time.Hour
	warnFor   = 30 * 24 * time.Hour
)

// freshen renews this collector's certificates where they are past two thirds
// of their life, or do not name an address that browsers call it by, and the
// root key is here to do it.
func (s self) freshen(cfg *Config, now time.Time, log *slog.Logger) (self, error) {
	missing := s.unnamed(cfg.hosts())
	if missing == "" && now.Before(twoThirds(s.credentials)) {
		return s, nil
	}
	if !s.authority.HasRootKey() {
		if missing != "" {
			log.Warn("browsers will not believe this collector's certificate under a name that it does not hold", "name", missing,
				"hint", "fleetcron-collector enroll --write-request, issue where the root key is, enroll --issued")
		}
		return s, nil
	}
	authority, credentials, err := s.authority.Renew(cfg.hosts(), now)
	if err != nil {
		return s, err
	}
	next := self{credentials, authority}
	if err := next.save(cfg); err != nil {
		return s, err
	}
	log.Info("certificates of this collector renewed", "until", credentials.NotAfter())
	return next, nil
}

// unnamed returns a name or an address that the certificate does not hold;
// empty: it holds them all.
func (s self) unnamed(hosts []string) string {
	for _, host := range hosts {
		if s.credentials.Chain()[0].VerifyHostname(host) != nil {
			return host
		}
	}
	return ""
}

// twoThirds is when a certificate should be renewed.
func twoThirds(c *pki.Credentials) time.Time {
	return c.NotBefore().Add(c.NotAfter().Sub(c.NotBefore()) * 2 / 3)
}

// mind says once a day how long this collector's certificate counts, where that
// is not for long.
func (s self) mind(ctx context.Context, log *slog.Logger) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for now := time.Now(); ; {
		if left := s.credentials.NotAfter().Sub(now); left < warnFor {
			log.Warn("the certificate of this collector ends soon", "until", s.credentials.NotAfter(), "root_key_here", s.authority.HasRootKey(),
				"hint", "with the root key here a restart renews it; without: fleetcron-collector enroll --write-request, issue, enroll --issued")
		}
		select {
		case <-ctx.Done():
			return nil
		case now = <-tick.C:
		}
	}
}
