package api

import (
	"errors"
	"net/http"
	"time"
)

const (
	maxBackups   = 2                // made at once: each keeps pages of the store from being used again
	backupWithin = 15 * time.Minute // for one, whole
)

// BackupType is the media type of a copy of the store.
const BackupType = "application/vnd.evenkeel.store"

// backup answers with a copy of the store, as it is at one moment. One that cannot be
// sent whole breaks the connection off: what arrives without an error is whole.
func backup(a *API, w http.ResponseWriter, r *http.Request, who Principal) error {
	select {
	case a.backups <- struct{}{}:
		defer func() { <-a.backups }()
	default:
		p := problem(http.StatusServiceUnavailable, "too-many-streams", "backups are being made already", "try again in a minute")
		p.RetryAfter = time.Minute
		return p
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", BackupType)
		return nil
	}
	out := &backupStream{w: w, out: http.NewResponseController(w), end: a.now().Add(backupWithin)}
	_, err := a.Controller.Backup(r.Context(), out, who.Name)
	switch {
	case err == nil:
		return nil
	case !out.began:
		return refusedAction(err)
	case !out.gone:
		a.Log.Error().Err(err).Msg("a backup broke off")
	}
	panic(http.ErrAbortHandler)
}

// backupStream sends a copy; a reader that takes nothing for a while ends it.
type backupStream struct {
	w           http.ResponseWriter
	out         *http.ResponseController
	end         time.Time
	began, gone bool
}

func (s *backupStream) Write(p []byte) (int, error) {
	if !s.began {
		s.began = true
		s.w.Header().Set("Content-Type", BackupType)
	}
	within := time.Now().Add(writeWithin)
	if within.After(s.end) {
		return 0, errors.New("it takes too long")
	}
	_ = s.out.SetWriteDeadline(within)
	n, err := s.w.Write(p)
	if err != nil {
		s.gone = true
		return n, errGone
	}
	return n, nil
}
