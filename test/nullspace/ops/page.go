package main

import (
	"bytes"
	"html/template"
	"net/http"

	"github.com/evenkeel/evenkeel/test/nullspace/service"
)

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5">
<title>nullspace ops</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ccc; }
.unwell { color: #a00; font-weight: bold; }
</style>
<h1>nullspace</h1>
{{ if .Report.At.IsZero }}<p>The first round is under way.</p>{{ else }}
<table>
<tr><th>target</th><th>state</th><th>open WebSockets</th></tr>
{{ range .Report.Lines }}<tr>
<td>{{ .Name }}</td>
<td{{ if not .Well }} class="unwell"{{ end }}>{{ if .Well }}well{{ else }}unwell: {{ .Reason }}{{ end }}</td>
<td>{{ with .OpenWebSockets }}{{ . }}{{ end }}</td>
</tr>
{{ end }}</table>
<p>Asked at {{ .Report.At.Format "2006-01-02 15:04:05" }} UTC.</p>
{{ end }}
<p>ops {{ .Version }} on {{ .Instance }}</p>
</html>
`))

// showPage answers with the page, which fetches itself anew every 5 seconds.
func showPage(w http.ResponseWriter, instance string, report Report) {
	var text bytes.Buffer
	err := page.Execute(&text, map[string]any{"Report": report, "Instance": instance, "Version": service.Version})
	if err != nil {
		http.Error(w, "cannot render the page", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, _ = w.Write(text.Bytes())
}
