package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// settingsLimit caps the size of the settings file.
const settingsLimit = 64 << 10

// Settings are what gateway.json holds and what a reload may change.
type Settings struct {
	MessageOfTheDay string     `json:"messageOfTheDay"`
	LogLevel        slog.Level `json:"logLevel"` // debug, info, warn, error
}

// decodeSettings is strict: an unknown key or anything after the object is an
// error. Keys that are absent keep their defaults: no message, level info.
func decodeSettings(content []byte) (Settings, error) {
	var settings Settings
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&settings); err != nil {
		return Settings{}, fmt.Errorf("not as expected: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Settings{}, errors.New("something follows the first JSON object")
	}
	return settings, nil
}

// Loaded is what /config shows: which content is in force, not which is on
// disk.
type Loaded struct {
	Settings
	Path      string    `json:"path,omitempty"`
	SHA256    string    `json:"sha256,omitempty"`
	LoadedAt  time.Time `json:"loadedAt"`
	Reloads   int       `json:"reloads"`             // that succeeded, the first load not counted
	LastError string    `json:"lastError,omitempty"` // of the latest load, if it failed
}

// settingsFile keeps the settings in force. A file that cannot be read or
// decoded leaves the ones before it in force. It is safe for concurrent use.
type settingsFile struct {
	path  string // "" for no file: defaults
	level *slog.LevelVar
	log   *slog.Logger

	mu     sync.Mutex
	loaded Loaded
}

// load reads the file and puts it in force.
func (f *settingsFile) load() error {
	settings, digest, err := f.read()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("cannot load %s: %w", f.path, err)
		f.loaded.LastError = err.Error()
		return err
	}
	reloads := f.loaded.Reloads
	if !f.loaded.LoadedAt.IsZero() {
		reloads++
	}
	f.loaded = Loaded{Settings: settings, Path: f.path, SHA256: digest, LoadedAt: time.Now().UTC(), Reloads: reloads}
	f.level.Set(settings.LogLevel)
	f.log.Info("settings loaded", "path", f.path, "sha256", digest, "reloads", reloads)
	return nil
}

func (f *settingsFile) read() (Settings, string, error) {
	if f.path == "" {
		return Settings{}, "", nil
	}
	file, err := os.Open(f.path)
	if err != nil {
		return Settings{}, "", err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, settingsLimit+1))
	if err != nil {
		return Settings{}, "", err
	}
	if len(content) > settingsLimit {
		return Settings{}, "", fmt.Errorf("larger than %d bytes", settingsLimit)
	}
	settings, err := decodeSettings(content)
	sum := sha256.Sum256(content)
	return settings, hex.EncodeToString(sum[:]), err
}

// current returns what is in force.
func (f *settingsFile) current() Loaded {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.loaded
}
