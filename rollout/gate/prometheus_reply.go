package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/evenkeel/evenkeel/desired"
	"github.com/evenkeel/evenkeel/rollout/health/peer"
)

// samples is the result of an instant query.
type samples struct {
	scalar bool
	list   []sample
}

// sample is one value; NaN and the infinities are values.
type sample struct {
	name  string // such as up{job="gateway"}; "" of a scalar
	value float64
}

const mendURL = "is the url that of a Prometheus, with the prefix it is served under?"

// parseReply reads an answer of the API. What is not understood is an error.
func parseReply(reply peer.Answer) (samples, error) {
	switch {
	case reply.Broken != nil:
		return samples{}, fmt.Errorf("the answer broke off after %d bytes", len(reply.Body))
	case len(reply.Body) > prometheusReply:
		return samples{}, mend("write a query with fewer results", "the answer has more than %d bytes", prometheusReply)
	case reply.Status == http.StatusUnauthorized || reply.Status == http.StatusForbidden:
		return samples{}, mend("name a file with a token that may query as the gate's `tokenFile`", "status %d", reply.Status)
	case reply.Status >= 300 && reply.Status <= 399:
		return samples{}, mend("write the url that it redirects to", "status %d (redirects are not followed)", reply.Status)
	}
	var body struct {
		Status    string
		ErrorType string
		Error     string
		Warnings  []string
		Data      struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	err := json.Unmarshal(reply.Body, &body)
	switch {
	case err == nil && body.Status == "error":
		return samples{}, mend("try the query in Prometheus' own page", "%s: %s", peer.Line(body.ErrorType), peer.Line(body.Error))
	case reply.Status != http.StatusOK:
		return samples{}, mend(mendURL, "status %d", reply.Status)
	case err != nil || body.Status != "success":
		return samples{}, mend(mendURL, "it does not answer as Prometheus does")
	case len(body.Warnings) > 0:
		return samples{}, mend("try the query in Prometheus' own page; a part of the truth is not enough here", "it warns: %s", peer.Line(body.Warnings[0]))
	}
	return parseResult(body.Data.ResultType, body.Data.Result)
}

func parseResult(kind string, result json.RawMessage) (samples, error) {
	switch kind {
	case "scalar":
		var point []json.RawMessage
		value, err := 0.0, json.Unmarshal(result, &point)
		if err == nil {
			value, err = parsePoint(point)
		}
		if err != nil {
			return samples{}, errNotPrometheus
		}
		return samples{scalar: true, list: []sample{{value: value}}}, nil
	case "vector":
		return parseVector(result)
	case "matrix", "string":
		return samples{}, mend("write a query that gives numbers at one moment, such as rate(…[5m])", "the query gives a %s", kind)
	}
	return samples{}, errNotPrometheus
}

var errNotPrometheus = mend(mendURL, "it does not answer as Prometheus does")

func parseVector(result json.RawMessage) (samples, error) {
	var vector []struct {
		Metric    map[string]string
		Value     []json.RawMessage
		Histogram json.RawMessage
	}
	if err := json.Unmarshal(result, &vector); err != nil || vector == nil {
		return samples{}, errNotPrometheus
	}
	var out samples
	for _, v := range vector {
		if len(v.Histogram) > 0 && len(v.Value) == 0 {
			return samples{}, mend("write a query that gives numbers, such as histogram_quantile(…)", "the query gives a histogram")
		}
		value, err := parsePoint(v.Value)
		if err != nil {
			return samples{}, errNotPrometheus
		}
		out.list = append(out.list, sample{metricName(v.Metric), value})
	}
	return out, nil
}

// parsePoint reads [TIME, "VALUE"].
func parsePoint(point []json.RawMessage) (float64, error) {
	var text string
	if len(point) != 2 {
		return 0, errors.New("not a point")
	}
	if err := json.Unmarshal(point[1], &text); err != nil {
		return 0, err
	}
	return strconv.ParseFloat(text, 64)
}

// metricName is a metric as Prometheus writes it.
func metricName(labels map[string]string) string {
	var b strings.Builder
	b.WriteString(labels["__name__"])
	b.WriteByte('{')
	first := true
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if key == "__name__" {
			continue
		}
		if !first {
			b.WriteString(", ")
		}
		first = false
		b.WriteString(key + "=" + strconv.Quote(labels[key]))
	}
	b.WriteByte('}')
	return b.String()
}

// judge holds the result against the bounds; see desired.PrometheusGate.
func judge(got samples, lowest, highest *desired.Number) (Answer, error) {
	if lowest == nil && highest == nil {
		return judgeAlert(got)
	}
	if len(got.list) == 0 {
		return Answer{Reason: "the query gives nothing, and so nothing that is " + bounds(lowest, highest),
			Mend: "does what it asks for exist, under these labels? Add `or vector(0)` to a query where nothing means none"}, nil
	}
	var outside []string
	for _, s := range got.list {
		if fault := outsideOf(s.value, lowest, highest); fault != "" {
			outside = append(outside, strings.TrimSpace(s.name+" is "+number(s.value)+fault))
		}
	}
	switch n := len(got.list); {
	case len(outside) > 0:
		return Answer{Reason: andMore(outside)}, nil
	case n == 1:
		return Answer{Open: true, Reason: fmt.Sprintf("%s is %s", number(got.list[0].value), bounds(lowest, highest))}, nil
	default:
		return Answer{Open: true, Reason: fmt.Sprintf("all %d values are %s", n, bounds(lowest, highest))}, nil
	}
}

func judgeAlert(got samples) (Answer, error) {
	if got.scalar {
		return Answer{}, mend("set max or min", "the query gives a scalar, which is always a result")
	}
	if len(got.list) == 0 {
		return Answer{Open: true, Reason: "the query gives nothing"}, nil
	}
	var results []string
	for _, s := range got.list {
		results = append(results, strings.TrimSpace(s.name+" is "+number(s.value)))
	}
	return Answer{Reason: andMore(results)}, nil
}

// outsideOf says how a value is not within; NaN never is.
func outsideOf(v float64, lowest, highest *desired.Number) string {
	switch {
	case math.IsNaN(v):
		return ", which is no number"
	case highest != nil && v > highest.F():
		return ", above max " + highest.String()
	case lowest != nil && v < lowest.F():
		return ", below min " + lowest.String()
	}
	return ""
}

func bounds(lowest, highest *desired.Number) string {
	switch {
	case lowest == nil:
		return "at most " + highest.String()
	case highest == nil:
		return "at least " + lowest.String()
	}
	return "from " + lowest.String() + " to " + highest.String()
}

// andMore shows the first of a list, for the rest may be thousands.
func andMore(list []string) string {
	text := peer.Line(list[0])
	if len(list) > 1 {
		text += fmt.Sprintf(", and %d more", len(list)-1)
	}
	return text
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
