package api

import (
	"crypto/tls"
	"errors"
	"os"
	"sync"
)

// certificate is a pair of files.
type certificate struct {
	api *API

	mu    sync.Mutex
	known [2]fileKey
	value *tls.Certificate
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var keys [2]fileKey
	var errs error
	for i, path := range []string{c.api.Certificate, c.api.Key} {
		info, err := os.Stat(path)
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		keys[i] = keyOf(info)
	}
	if errs == nil && keys == c.known && c.value != nil {
		return c.value, nil
	}
	var pair tls.Certificate
	if errs == nil {
		pair, errs = c.load()
	}
	switch {
	case errs == nil:
		c.known, c.value = keys, &pair
	case c.value == nil:
		return nil, errs
	case keys != c.known:
		c.known = keys // told once
		c.api.Log.Error().Err(errs).Msg("the new certificate cannot be used: the old one stays")
	}
	return c.value, nil
}

func (c *certificate) load() (tls.Certificate, error) {
	if _, err := readGuarded(c.api.Key, true); err != nil {
		return tls.Certificate{}, err
	}
	return tls.LoadX509KeyPair(c.api.Certificate, c.api.Key)
}
