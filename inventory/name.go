package inventory

import (
	"net/netip"
	"strings"

	"github.com/evenkeel/evenkeel/inventory/fault"
)

// ValidHostName tells whether a host may have that name: what DNS takes as a host
// name (RFC 1123), underscores too, for many inventories have them. A name can
// never be mistaken for an option, a path or a pattern.
func ValidHostName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for _, part := range strings.Split(name, ".") {
		if part == "" || len(part) > 63 || part[0] == '-' || part[len(part)-1] == '-' {
			return false
		}
		if strings.Trim(part, lettersDigits+"-_") != "" {
			return false
		}
	}
	return true
}

const lettersDigits = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// checkAddress says what is wrong with an address, and how to mend it.
func checkAddress(address string) (message, mend string) {
	if _, err := netip.ParseAddr(address); err == nil {
		return "", ""
	}
	if ValidHostName(address) && !looksLikeIPv4(address) {
		return "", ""
	}
	message = "address " + fault.Quote(address) + " is neither a host name nor an IP address"
	switch host, port, found := strings.Cut(address, ":"); {
	case strings.Contains(address, "{{"):
		mend = "templates are not evaluated here: write the address itself"
	case strings.Contains(address, "@"):
		mend = "the user goes into user"
	case strings.HasPrefix(address, "["):
		mend = "write an IPv6 address without brackets, and the port into port"
	case found && ValidHostName(host) && strings.Trim(port, "0123456789") == "":
		mend = "the port goes into port: " + port
	}
	return message, mend
}

// looksLikeIPv4 tells an address of numbers only, which is never a host name.
func looksLikeIPv4(s string) bool { return strings.Trim(s, "0123456789.") == "" }

// CheckLabelKey says what is wrong with the key of a label; "" where nothing is.
func CheckLabelKey(key string) string { return checkLabel(key, "") }

// checkLabel says what is wrong with a label, by Kubernetes' rules: the key is an
// optional DNS prefix and a slash, then at most 63 of letters, digits, "-", "_"
// and ".", beginning and ending with a letter or digit; so is the value, or empty.
func checkLabel(key, value string) string {
	name := key
	if prefix, rest, ok := strings.Cut(key, "/"); ok {
		if !ValidHostName(prefix) {
			return "label " + fault.Quote(key) + " has a prefix that is not a DNS name"
		}
		name = rest
	}
	if !labelWord(name) {
		return "label " + fault.Quote(key) + " must be letters, digits, \"-\", \"_\" and \".\", at most 63, beginning and ending with a letter or digit"
	}
	if value != "" && !labelWord(value) {
		return "label " + key + " has the value " + fault.Quote(value) +
			", which must be letters, digits, \"-\", \"_\" and \".\", at most 63, beginning and ending with a letter or digit"
	}
	return ""
}

func labelWord(s string) bool {
	return s != "" && len(s) <= 63 && strings.Trim(s, lettersDigits+"-_.") == "" &&
		strings.IndexByte("-_.", s[0]) < 0 && strings.IndexByte("-_.", s[len(s)-1]) < 0
}

// checkJump says what is wrong with a ProxyJump: [user@]host[:port], comma separated.
func checkJump(jump string) string {
	for _, hop := range strings.Split(jump, ",") {
		host := hop
		if user, rest, ok := strings.Cut(hop, "@"); ok {
			if !validUser(user) {
				return "jump " + fault.Quote(jump) + " names the user " + fault.Quote(user)
			}
			host = rest
		}
		if strings.HasPrefix(host, "[") {
			inner, rest, ok := strings.Cut(host[1:], "]")
			if _, err := netip.ParseAddr(inner); !ok || err != nil || (rest != "" && !validPortSuffix(rest)) {
				return "jump " + fault.Quote(jump) + " is not [user@]host[:port]"
			}
			continue
		}
		if h, port, ok := strings.Cut(host, ":"); ok {
			if !validPortSuffix(":" + port) {
				return "jump " + fault.Quote(jump) + " is not [user@]host[:port]"
			}
			host = h
		}
		if message, _ := checkAddress(host); message != "" {
			return "jump " + fault.Quote(jump) + " is not [user@]host[:port]"
		}
	}
	return ""
}

func validPortSuffix(s string) bool {
	digits := strings.TrimPrefix(s, ":")
	return s != digits && digits != "" && len(digits) <= 5 && strings.Trim(digits, "0123456789") == ""
}

// CheckLogin says what is wrong with how to log in: a user's name and a ProxyJump,
// each "" where it is not given.
func CheckLogin(user, jump string) string {
	if user != "" && !validUser(user) {
		return "user " + fault.Quote(user) + " is not a user's name"
	}
	if jump != "" {
		return checkJump(jump)
	}
	return ""
}

// validUser tells whether ssh may log in as that user.
func validUser(user string) bool {
	return user != "" && len(user) <= 64 && user[0] != '-' && strings.Trim(user, lettersDigits+"-_.\\@$") == ""
}
