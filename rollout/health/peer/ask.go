package peer

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

const (
	// maxHeader caps all headers of an answer.
	maxHeader = 64 << 10
	// maxInterim is how many answers of status 1xx may come before the final one.
	maxInterim = 5
)

// Question is one HTTP request without a body.
type Question struct {
	// Dial connects to URL's host and port.
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Method string
	URL    *url.URL // http or https, with a host
	// Host is the Host header, where it is not URL's.
	Host   string
	Header http.Header
	// Unverified takes any certificate: for peers whose identity is proven otherwise.
	Unverified bool
	// MaxBody is how much of the answer's body is read.
	MaxBody int64
}

// Answer is what came back.
type Answer struct {
	Status int
	Body   []byte // at most MaxBody of it
	// Broken is why the body ended before its end, or nil.
	Broken error
}

// DialError tells that there was no connection; Unwrap gives the dial's own error.
type DialError struct{ Err error }

func (e *DialError) Error() string { return e.Err.Error() }

// Unwrap returns the dial's error.
func (e *DialError) Unwrap() error { return e.Err }

// Other ways for an answer not to come. None of them repeats what the peer said.
var (
	ErrNoAnswer   = errors.New("the connection was closed without an answer")
	ErrNotHTTP    = errors.New("it does not speak HTTP")
	ErrNotTLS     = errors.New("it does not speak TLS")
	ErrLongHeader = fmt.Errorf("its headers have more than %d bytes", maxHeader)
)

// Ask puts one question on a connection of its own. Redirects are answers like any
// other. It ends with ctx, and leaves nothing behind.
func Ask(ctx context.Context, q Question) (Answer, error) {
	request, err := q.request(ctx)
	if err != nil {
		return Answer{}, err
	}
	conn, err := q.Dial(ctx, "tcp", q.address())
	if err != nil {
		return Answer{}, &DialError{err}
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })() // not every connection keeps deadlines
	if q.URL.Scheme == "https" {
		secure := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: q.URL.Hostname(), InsecureSkipVerify: q.Unverified})
		if err := secure.HandshakeContext(ctx); err != nil {
			return Answer{}, overIfEnded(ctx, notTLS(err))
		}
		conn = secure
	}
	written := request.Write(conn)
	answer, err := q.read(conn, request) // a peer may answer and close before it has read all
	if err != nil && written != nil {
		err = ErrNoAnswer
	}
	return answer, overIfEnded(ctx, err)
}

// overIfEnded gives ctx's end as the reason where it closed the connection.
func overIfEnded(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func notTLS(err error) error {
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &plain):
		return ErrNotTLS
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrNoAnswer
	}
	return err
}

func (q Question) request(ctx context.Context) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, q.Method, q.URL.String(), nil)
	if err != nil {
		return nil, err
	}
	if q.Header != nil {
		request.Header = q.Header.Clone()
	}
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", "evenkeel")
	}
	if q.Host != "" {
		request.Host = q.Host
	}
	request.Close = true
	return request, nil
}

func (q Question) address() string {
	port := q.URL.Port()
	switch {
	case port != "":
	case q.URL.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(q.URL.Hostname(), port)
}

func (q Question) read(conn io.Reader, request *http.Request) (Answer, error) {
	wire := &wire{Reader: conn}
	limited := &io.LimitedReader{R: wire, N: maxHeader}
	buffered := bufio.NewReader(limited)
	if _, err := buffered.Peek(1); err != nil {
		return Answer{}, ErrNoAnswer
	}
	for range maxInterim {
		response, err := http.ReadResponse(buffered, request)
		switch {
		case err != nil && limited.N <= 0:
			return Answer{}, ErrLongHeader
		case err != nil && wire.over:
			return Answer{}, ErrNoAnswer
		case err != nil:
			return Answer{}, ErrNotHTTP
		case response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols:
			limited.N = q.MaxBody + maxHeader // chunks have their own headers
			answer := Answer{Status: response.StatusCode}
			answer.Body, answer.Broken = io.ReadAll(io.LimitReader(response.Body, q.MaxBody))
			return answer, nil
		}
	}
	return Answer{}, ErrNotHTTP
}

// wire tells a connection that ended from an answer that makes no sense.
type wire struct {
	io.Reader
	over bool
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.over = w.over || err != nil
	return n, err
}
