# collect.sh: generations beyond KEEP, and what only they needed, are removed; so are those
# between the one that was on disk and the one that is, for they were staged and never
# switched to, or gone back from: none is one to go back to. Never the one on disk, one
# that the step in hand may go back to, or one a unit still runs with.

# collect: what is to be removed is then in $left, but for releases, which are gone.
collect() {
	left=
	protected="$NL$TO$NL$from$NL"
	step=
	[ -e "$D/step" ] && read -r step <"$D/step" && step_number from && step_number to
	set +f
	for f in "$D"/started/* "$D"/wanted/*; do
		[ -e "$f" ] || continue
		case $keys in
		*"${NL}unit$TAB${f##*/}$NL"*) ;;
		*) rm -f -- "$f" ;;
		esac
		[ -e "$f" ] && IFS=$TAB read -r a b <"$f" && protected="$protected$b$NL"
	done
	kept= n=0
	for f in "$D"/generations/[0-9]*; do
		[ -d "$f" ] && kept="$kept$NL${f##*/}" n=$((n + 1))
	done
	set -f
	set --
	for g in $kept; do
		case $protected in
		*"$NL$g$NL"*) continue ;;
		esac
		[ "$g" -gt "$from" ] && [ "$g" -lt "$TO" ] || continue
		set -- "$@" "$D/generations/$g"
		protected="$protected$g$NL" n=$((n - 1))
	done
	[ $# -gt 0 ] || [ "$n" -gt "$KEEP" ] || return 0
	while [ "$n" -gt "$KEEP" ] && oldest; do
		set -- "$@" "$D/generations/$old"
		protected="$protected$old$NL" n=$((n - 1))
	done
	left=$*
	staying=
	for g in $kept; do
		case $NL$left$NL in
		*"$NL$D/generations/$g$NL"*) ;;
		*) staying="$staying$NL$g" ;;
		esac
	done
	collect_blobs
	collect_releases
}

# stays DIR NAME: whether a generation that stays has it there.
stays() {
	for g in $staying; do
		[ ! -e "$D/generations/$g/$1/$2" ] || return 0
	done
	return 1
}

# oldest: the lowest number that is not protected, in $old. Globs are in alphabetical order.
oldest() {
	old=
	for g in $kept; do
		case $protected in
		*"$NL$g$NL"*) continue ;;
		esac
		[ "$old" ] && [ "$old" -lt "$g" ] || old=$g
	done
	[ "$old" ]
}

# step_number KEY: a number of the step's record, which is one line of JSON.
step_number() {
	case $step in
	*"\"$1\":"*)
		number=${step#*"\"$1\":"}
		protected="$protected${number%%[!0-9]*}$NL"
		;;
	esac
}

collect_blobs() {
	set +f
	for f in "$D"/blobs/[0-9a-f]*; do
		[ ! -f "$f" ] || stays blobs "${f##*/}" || left="$left$NL$f"
	done
	set -f
}

collect_releases() {
	set +f
	for f in "$D"/releases/*; do
		[ ! -e "$f" ] || stays releases "${f##*/}" || collect_release "$f"
	done
	set -f
}

collect_release() {
	IFS=$TAB
	read -r a sum form path <"$f"
	IFS=$NL
	# A release's path ends in its digest: nothing else is ever removed here.
	case $path in
	/*/"$sum") [ ${#sum} = 64 ] && rm -rf -- "$path" && rm -f -- "$f" "$D/lists/${f##*/}" "$D/chunks/${f##*/}" "$D/hooks/${f##*/}".* ;;
	esac
}
