#!/bin/sh
# All tests on lab hosts, in two lanes beside each other: they wait more than they reckon.
# What reckons comes before. The first lane has two thirds of the end-to-end tests; the
# second the other packages, then the last third. A pattern as the only argument takes
# fewer end-to-end tests.
set -u
cd "$(dirname "$0")/.."
go test -count=1 -timeout 20m ./test/sim ./test/bench/... || exit 1
go test -c -o bin/e2e.test ./test/e2e || exit 1
all=$(cd test/e2e && ../../bin/e2e.test -test.list "${1:-.}" | grep '^Test')
[ "$all" ] || { echo "no end-to-end test matches" >&2; exit 1; }
pattern() { echo "$all" | awk "NR % 3 $1" | paste -sd '|'; }
end_to_end() { # LANE PATTERN
	[ "$2" ] || return 0
	if (cd test/e2e && ../../bin/e2e.test -test.timeout 45m -test.run "^($2)\$") >"bin/e2e.$1.log" 2>&1; then
		echo "ok  	end to end, lane $1"
	else
		cat "bin/e2e.$1.log"
		echo "FAIL	end to end, lane $1"
		return 1
	fi
}
end_to_end 1 "$(pattern '!= 0')" &
first=$!
failed=0
go test -count=1 -timeout 45m -p 1 $(go list ./controller ./rollout/drain ./rollout/health ./test/... ./hostdriver/... | grep -vE '/test/(e2e|sim|bench)(/|$)') || failed=1
end_to_end 2 "$(pattern '== 0')" || failed=1
wait "$first" || failed=1
exit "$failed"
