# collect.sh: generations beyond KEEP, and what only they needed, are removed. Never the
# one on disk, one that the step in hand may go back to, or one a unit still runs with.

collect() {
	protected="$NL$TO$NL$from$NL"
	[ -e "$D/step" ] && step=$(cat "$D/step") && step_number from && step_number to
	set +f
	for f in "$D"/started/* "$D"/wanted/*; do
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
	[ "$n" -gt "$KEEP" ] || return 0
	# In order of age; the shell's globs are in alphabetical order.
	for g in $(printf '%s\n' $kept | sort -n); do
		[ "$n" -gt "$KEEP" ] || break
		case $protected in
		*"$NL$g$NL"*) continue ;;
		esac
		rm -rf -- "$D/generations/$g"
		n=$((n - 1))
	done
	collect_blobs
	collect_releases
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
	set -- "$D"/blobs/*
	set -f
	[ -e "$1" ] || return 0
	unused=
	for line in $(stat --printf='%h %n\n' -- "$@"); do
		[ "${line%% *}" = 1 ] && unused="$unused$NL${line#* }"
	done
	[ -z "$unused" ] || rm -f -- $unused
}

collect_releases() {
	set +f
	for f in "$D"/releases/*; do
		[ -e "$f" ] || continue
		used=
		for g in "$D"/generations/*/releases/"${f##*/}"; do
			[ -e "$g" ] && used=1
		done
		[ "$used" ] && continue
		IFS=$TAB
		read -r a sum form path <"$f"
		IFS=$NL
		# A release's path ends in its digest: nothing else is ever removed here.
		case $path in
		/*/"$sum") [ ${#sum} = 64 ] && rm -rf -- "$path" && rm -f -- "$f" "$D/lists/${f##*/}" ;;
		esac
	done
	set -f
}
