package inventory

import (
	"errors"
	"strconv"
	"strings"
)

// pythonValue reads a value of an Ansible INI inventory: a Python literal
// (number, True, False, None, quoted text, list, tuple or dict), or else the text
// as it stands. None is nil.
func pythonValue(s string) any {
	p := &literal{s: s}
	v, err := p.value(0)
	if err != nil {
		return s
	}
	p.space()
	if p.i < len(p.s) && p.s[p.i] != '#' {
		return s
	}
	return v
}

var errLiteral = errors.New("not a literal")

type literal struct {
	s string
	i int
}

func (p *literal) space() {
	for p.i < len(p.s) && strings.IndexByte(" \t", p.s[p.i]) >= 0 {
		p.i++
	}
}

// take skips c, where it comes next.
func (p *literal) take(c byte) bool {
	p.space()
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *literal) value(depth int) (any, error) {
	p.space()
	if p.i >= len(p.s) || depth > 32 {
		return nil, errLiteral
	}
	switch p.s[p.i] {
	case '\'', '"':
		return p.text()
	case '[':
		return p.list('[', ']', depth)
	case '(':
		return p.list('(', ')', depth)
	case '{':
		return p.dict(depth)
	}
	return p.word()
}

func (p *literal) text() (any, error) {
	q := p.s[p.i]
	var b strings.Builder
	for p.i++; p.i < len(p.s); p.i++ {
		c := p.s[p.i]
		if c == q {
			p.i++
			return b.String(), nil
		}
		if c == '\\' && p.i+1 < len(p.s) {
			p.i++
			b.WriteString(unescape(p.s[p.i]))
			continue
		}
		b.WriteByte(c)
	}
	return nil, errLiteral
}

// unescape is what a backslash and c stand for; escapes of numbers are left as
// they are.
func unescape(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case 'r':
		return "\r"
	case '\\', '\'', '"':
		return string(c)
	}
	return "\\" + string(c)
}

func (p *literal) list(open, end byte, depth int) (any, error) {
	p.take(open)
	out := []any{}
	for !p.take(end) {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		if !p.take(',') {
			if p.take(end) {
				break
			}
			return nil, errLiteral
		}
	}
	if open == '(' && len(out) == 1 {
		return out[0], nil
	}
	return out, nil
}

func (p *literal) dict(depth int) (any, error) {
	p.take('{')
	out := map[string]any{}
	for !p.take('}') {
		k, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		key, ok := asText(k)
		if !ok || !p.take(':') {
			return nil, errLiteral
		}
		if out[key], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		if !p.take(',') {
			if p.take('}') {
				break
			}
			return nil, errLiteral
		}
	}
	return out, nil
}

func (p *literal) word() (any, error) {
	start := p.i
	for p.i < len(p.s) && strings.IndexByte(" \t,:]})#", p.s[p.i]) < 0 {
		p.i++
	}
	w := p.s[start:p.i]
	switch w {
	case "True":
		return true, nil
	case "False":
		return false, nil
	case "None":
		return nil, nil
	}
	if strings.Trim(w, "+-.0123456789eE") != "" || strings.Trim(w, "+-.eE") == "" {
		return nil, errLiteral
	}
	digits := strings.TrimLeft(w, "+-")
	if len(digits) > 1 && digits[0] == '0' && strings.Trim(digits, "0123456789") == "" && strings.Trim(digits, "0") != "" {
		return nil, errLiteral // Python has no 0640
	}
	if i, err := strconv.Atoi(w); err == nil {
		return i, nil
	}
	f, err := strconv.ParseFloat(w, 64)
	if err != nil {
		return nil, errLiteral
	}
	return f, nil
}
