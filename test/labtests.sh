#!/bin/sh
# All tests on real hosts, each a job of its own with hosts of its own, three at a time: they
# wait more than they reckon. What reckons comes before. A pattern as the only argument takes
# fewer. (How one job is run: labtests.sh --job PACKAGE TEST.)
#
# A job that fails prints all it said. At most three of them are then run once more, each alone:
# what fails there fails; what passes there is named at the end, for it is a fault to be looked
# for, in the test or in what it tests.
set -u
cd "$(dirname "$0")/.."

if [ "${1:-}" = --job ]; then
	log=$PWD/bin/tests/$(echo "$2.$3" | tr / -).log program=$PWD/bin/tests/$(echo "$2" | tr / -) begin=$(date +%s)
	(cd "$2" && exec "$program" -test.timeout 30m -test.run "^$3\$") >"$log" 2>&1
	status=$?
	took=$(($(date +%s) - begin))
	if [ "$status" = 0 ] && ! grep -q "no tests to run" "$log"; then
		printf 'ok  \t%4d s\t%s %s\n' "$took" "$2" "$3"
	else
		printf 'FAIL\t%4d s\t%s %s\n' "$took" "$2" "$3" >>"$log"
		cat "$log"
		echo "$2 $3" >>bin/tests/failed
	fi
	exit 0
fi

go test -count=1 -vet=off -timeout 20m ./test/sim ./test/bench/... || exit 1
# They look for the processes of a balancer on this machine, where those of hosts are seen, too.
go test -count=1 -vet=off -timeout 20m -skip TestLab ./rollout/drain ./rollout/gate || exit 1

# The tests that need hosts, or real programs beside us; all others were run for the races.
needy=$(git ls-files 'rollout/*_lab_test.go' 'test/lab/*_test.go' 'test/e2e/*_test.go' &&
	git grep -lE 'lab\.(Require|New)\(|newLab\(' -- 'controller/*_test.go' 'hostdriver/*_test.go') || exit 1
rm -rf bin/tests && mkdir -p bin/tests || exit 1
for p in $(for f in $needy; do dirname "$f"; done | sort -u); do
	go test -c -vet=off -ldflags "-s -w" -o "bin/tests/$(echo "$p" | tr / -)" "./$p" || exit 1
done
for f in $needy; do
	sed -n "s|^func \(Test[A-Za-z0-9_]*\)([a-z]* \*testing\.T).*|$(dirname "$f") \1|p" "$f"
done | sort -u | grep -E "${1:-.}" >bin/tests/all
[ -s bin/tests/all ] || { echo "no test on hosts matches" >&2; exit 1; }
# What takes longest begins first.
long='TestContractOnRealHost|TestTwoAtOnce|TestDistributions|TestContainers|TestFaults|TestNullspace|TestCutOffByAChange|TestBrokenHostsAreExplained|TestAdopt$'
{
	grep -E "$long" bin/tests/all
	grep -vE "$long" bin/tests/all
} | xargs -P 3 -L 1 sh test/labtests.sh --job || {
	echo "FAILED: a job was ended" >&2
	exit 1
}

[ -s bin/tests/failed ] || exit 0
sort bin/tests/failed >bin/tests/again
if [ "$(grep -c . bin/tests/again)" -gt 3 ]; then
	echo "FAILED:"
	cat bin/tests/again
	exit 1
fi
rm bin/tests/failed
echo "run once more, alone:"
while read -r p t; do
	sh test/labtests.sh --job "$p" "$t" </dev/null
done <bin/tests/again
if [ -s bin/tests/failed ]; then
	echo "FAILED, beside others and alone:"
	cat bin/tests/failed
	exit 1
fi
echo "FAILED BESIDE OTHERS, PASSED ALONE (what they said is above):"
cat bin/tests/again
