package show

import (
	"strings"
	"time"

	"github.com/evenkeel/evenkeel/controller/api"
)

// Tokens lists tokens as a table.
func Tokens(tokens []api.Token, now time.Time) string {
	var rows [][]string
	for _, t := range tokens {
		var scopes []string
		for _, s := range t.Scopes {
			scopes = append(scopes, string(s))
		}
		end := "never"
		if u := t.Until(); !u.IsZero() {
			if end = When(u); !now.Before(u) {
				end = red.of("expired " + end)
			}
		}
		rows = append(rows, []string{Clean(t.Name), Clean(strings.Join(scopes, ", ")), end})
	}
	return columnsOr([]string{"name", "scopes", "expires"}, rows, "there are no tokens")
}
