# pull.sh: releases that the host fetches by itself, with what it has: curl, wget, or
# busybox's. What has come before it was cut off stays beside its place as
# .evenkeel-part.KEY.pull. What went wrong is told as a word, for which the controller has
# the sentence: the URL may hold a password, and is never said from here.
#
# Set by the controller: PULLS (lines, tab separated: as of RELEASES, with size 0 and the
# stream "-"; then bytes a second, or 0; 1 where the URL has a query; what its name says it
# is unpacked with, or "-"; the URL), PULLTIME and PULLPAUSE (seconds).

MAXSOURCE=8589934592 MAXENTRIES=1000000

# check_pulls: what stands in the way of pulling, of a precheck.
check_pulls() {
	rec pulls
	for release in $PULLS; do
		IFS=$TAB
		set -- $release
		IFS=$NL
		why_not_pulled "$9" "${10}" "${11}"
		[ -z "$lacks" ] || printf '%s\t%s\n' "$1" "$lacks" >&3
	done
}

# why_not_pulled BANDWIDTH QUERY UNPACK: in $lacks.
why_not_pulled() {
	lacks=
	find_fetcher
	case $fetcher in
	'') lacks=tool ;;
	busybox)
		[ "$2" = 0 ] || lacks=query
		[ "$1" = 0 ] || lacks=bandwidth
		;;
	esac
	[ -z "$lacks" ] || return 0
	case $3 in
	zstd) command -v zstd >/dev/null || lacks=zstd ;;
	zip) find_unzip || lacks=unzip ;;
	esac
}

# find_fetcher: in $fetcher; $box stands before a tool that busybox has without a name of its own.
find_fetcher() {
	fetcher= box=
	if curl -q --version >/dev/null 2>&1; then
		fetcher=curl
		return
	fi
	case $(wget --version 2>&1 </dev/null) in
	*'GNU Wget'*) fetcher=wget && return ;;
	esac
	for box in '' busybox; do
		case $($box wget --help 2>&1 </dev/null) in
		*BusyBox*'Usage: wget'*) fetcher=busybox && return ;;
		esac
	done
}

find_unzip() {
	for unzip_box in '' busybox; do
		case $($unzip_box unzip 2>&1 </dev/null) in
		*'sage: unzip'*) return 0 ;;
		esac
	done
	return 1
}

pull_releases() {
	pulling_ends=$(($(date +%s) + PULLTIME))
	for release in $PULLS; do
		IFS=$TAB
		set -- $release
		IFS=$NL
		has_release "$@" || pull_release "$@"
	done
	rm -f -- "$R/pull" "$R/pull.status"
}

# pull_fail WORD [DETAIL]: what has come stays, where it may be of use.
pull_fail() {
	case $1 in
	digest | entry | unpack | size | redirect | room) rm -f -- "$part" ;;
	fetch | time) [ "$(stat -c %s -- "$part" 2>/dev/null || echo 0)" -ge "$SMALL" ] || rm -f -- "$part" ;;
	esac
	rm -f -- "$R/pull" "$R/pull.status"
	rec pull "$pulled_key" "$1"
	printf '%s\n' "${2:-}" >&3
	rm -f -- "$D/lists/$pulled_key.new"
	stage_fail "a release was not pulled" ""
}

# pull_release KEY DIGEST 0 FORM OWNER GROUP PATH - BANDWIDTH QUERY UNPACK URL
pull_release() {
	pulled_key=$1 dir=${7%/*} bandwidth=$9 url=${12}
	advice="see whether the filesystem of $dir is full or read-only: df $dir; df -i $dir"
	[ -d "$dir" ] || (umask 022 && try mkdir -p -- "$dir") || stage_fail "cannot make $dir" "$advice"
	beside=$dir/.evenkeel-new.$1 part=$dir/.evenkeel-part.$1.pull
	rm -rf -- "$beside"
	clear_parts "$1"
	why_not_pulled "$9" "${10}" -
	[ -z "$lacks" ] || pull_fail "$lacks"
	fetch_source "$2"
	case $4 in
	file) try mv -fT -- "$part" "$beside" || stage_fail "cannot write $7: $why" "$advice" ;;
	tar)
		unpack_source
		check_tree
		list_release "$@"
		;;
	esac
	rm -f -- "$part"
	index=0
	settle_release "$@"
}

# fetch_source DIGEST: the source, whole and with that digest, in $part. What was put
# together of pieces and is not right is fetched once more, in one piece if it can be.
fetch_source() {
	resumed=1
	[ -f "$part" ] && [ ! -L "$part" ] || { rm -rf -- "$part" && resumed=; }
	while :; do
		# Also of what was whole already, and only not unpacked.
		if [ "$resumed" ] && part_is "$1"; then return; fi
		fetch_part
		part_is "$1" && return
		[ "$resumed" ] || pull_fail digest "$sum"
		rm -f -- "$part"
		resumed=
	done
}

part_is() {
	has=$(stat -c %s -- "$part" 2>/dev/null)
	pick_hash "${has:-0}"
	sum=$(hash <"$part")
	sum=${sum%% *}
	[ "$sum" = "$1" ]
}

# fetch_part: what $part lacks. It is tried again a few times, and more often while it gets on.
fetch_part() {
	tries=0 pause=$PULLPAUSE probed= best=$(stat -c %s -- "$part" 2>/dev/null)
	best=${best:-0}
	while :; do
		was=$(stat -c %s -- "$part" 2>/dev/null)
		was=${was:-0}
		left=$((pulling_ends - $(date +%s)))
		[ "$left" -gt 0 ] || pull_fail time "${cause:-}"
		room=$(df --output=avail -B1 -- "$dir" | tail -n 1)
		room=$((${room:-0}))
		said= away= cause=
		"fetch_$fetcher"
		[ -z "$away" ] || pull_fail redirect "$away"
		has=$(stat -c %s -- "$part" 2>/dev/null)
		has=${has:-0}
		[ "$has" -le "$MAXSOURCE" ] || pull_fail size "$has"
		[ "$status" = 0 ] && return
		judge_fetch
		if [ "$has" -ge $((best + SMALL)) ]; then
			tries=0 pause=$PULLPAUSE best=$has
		else
			tries=$((tries + 1))
		fi
		[ "$tries" -lt 4 ] || pull_fail fetch "$cause"
		sleep "$pause"
		pause=$((pause * 2))
		[ "$has" = 0 ] || resumed=1
	done
}

# judge_fetch: what trying again cannot mend, and what must be begun anew.
judge_fetch() {
	[ "$(df --output=avail -B1 -- "$dir" | tail -n 1)" -ge "$SMALL" ] || pull_fail room "${length:-?} $room"
	case $said in
	206 | 408 | 429) ;;
	416)
		rm -f -- "$part"
		has=0
		return
		;;
	4??) pull_fail fetch "$cause" ;;
	esac
	[ "$fetcher" = curl ] || return 0
	case $status in
	63) too_big "${length:-?}" ;;
	33 | 36) rm -f -- "$part" && has=0 ;;
	51 | 60 | 77) pull_fail fetch "$cause" ;;
	esac
}

# too_big BYTES: of what is yet to come, told before it comes.
too_big() {
	case $1 in
	'?') ;;
	*) [ $((was + $1)) -le "$MAXSOURCE" ] || pull_fail size $((was + $1)) ;;
	esac
	pull_fail room "$1 $room"
}

# fetching INPUT COMMAND…: runs it, and notes what it and the server say. It keeps the lock: what
# outlives this shell would go on writing. What the tool itself leaves running (an openssl that
# reads all that a server sends) is ended: timeout has made it a process group.
fetching() {
	{
		printf '%s' "$1" | (
			shift
			trap - PIPE
			exec 3>&-
			HOME=${HOME:-/root}
			export HOME
			exec 4<&0
			timeout -k 5 "$left" "$@" <&4 &
			wait $!
			echo $? >"$R/pull.status"
			kill -s KILL -- -$! 2>/dev/null
		) 2>&1
	} | {
		head -c 65536
		cat >/dev/null
	} >"$R/pull" 3>&-
	read -r status <"$R/pull.status" || status=1
	read_log
}

# read_log: of the last answer its status and length, in $said and $length; where it was sent on to
# something that is not https, in $away; what the tool says, in $cause.
read_log() {
	said= away= cause= last= length=
	while IFS=" $TAB$CR" read -r word value rest; do
		case $word in
		HTTP/*) said=$value length= ;;
		[Cc]ontent-[Ll]ength:) length=${value%%[!0-9]*} ;;
		[Ll]ocation:)
			case $value in
			[Hh][Tt][Tt][Pp][Ss]://*) ;;
			[A-Za-z]*://*) away=$value ;;
			esac
			;;
		curl: | wget: | *[Ee][Rr][Rr][Oo][Rr]*) cause="$word $value $rest" ;;
		*)
			case "$value $rest" in
			*ERROR* | *rror:* | *failed* | *annot* | *nable*) cause="$word $value $rest" ;;
			esac
			;;
		esac
		[ -z "$word" ] || last="$word $value $rest"
	done <"$R/pull"
	[ "$status" != 124 ] || cause="it took too long"
	cause=${cause:-${last:-status $status}}
}
CR=$(printf '\r')

# What may hold a password, the URL, comes on standard input.
fetch_curl() {
	most=$((MAXSOURCE - was))
	[ "$room" -ge "$most" ] || most=$room
	set -- curl -q -K - -g -f -sS -L --proto =https --proto-redir =https --max-redirs 5 --netrc-optional \
		--connect-timeout 30 -Y 1 -y 60 --max-filesize "$most" -C - -D - -o "$part"
	[ "$bandwidth" = 0 ] || set -- "$@" --limit-rate "$bandwidth"
	fetching "url = \"$url\"$NL" "$@"
}

fetch_wget() {
	set -- wget -nv -S --no-config --no-hsts --tries=1 --timeout=60 --max-redirect=5 -i -
	[ "$probed" ] || fetching "$url$NL" "$@" --spider
	enough_room
	[ "$bandwidth" = 0 ] || set -- "$@" "--limit-rate=$bandwidth"
	fetching "$url$NL" "$@" -c -O "$part"
}

# Some of busybox wait for ever for a server that says nothing: they are ended now and then.
# Some prove no certificate, others take the port for a part of the name that it must have: it
# is not proven there. What was fetched is proven by its digest, and of the URL nothing is secret.
fetch_busybox() {
	set -- $box wget -S -q
	usage=$($box wget --help 2>&1 </dev/null)
	case $usage in
	*'-T SEC'*) set -- "$@" -T 60 ;;
	*) [ "$left" -lt 300 ] || left=300 ;;
	esac
	place=${url#*://}
	case ${place%%/*}$usage in
	*:[0-9]*--no-check-certificate*) set -- "$@" --no-check-certificate ;;
	esac
	[ "$probed" ] || fetching "" "$@" --spider "$url"
	enough_room
	fetching "" "$@" -c -O "$part" "$url"
}

# enough_room: by what the server says before anything is fetched; it need not say.
enough_room() {
	[ -z "$probed" ] || return 0
	probed=1
	[ -z "$away" ] || pull_fail redirect "$away"
	[ "$status" = 0 ] && [ "$length" ] || return 0
	[ "$length" -le "$MAXSOURCE" ] || pull_fail size "$length"
	[ "$length" -le $((was + room)) ] || pull_fail room "$((length - was)) $room"
}

# unpack_source: the kinds that the controller unpacks, told by their first bytes.
unpack_source() {
	recipe=0
	case $(od -An -v -tx1 -N4 -- "$part" | tr -d ' \n') in
	1f8b*) encoding=gzip ;;
	28b52ffd)
		command -v zstd >/dev/null || pull_fail zstd
		encoding=zstd
		;;
	504b0304)
		find_unzip || pull_fail unzip
		unpack_zip
		return
		;;
	*) encoding=none ;;
	esac
	listed=$(decode 2>/dev/null | tar --numeric-owner -tvf - 2>"$R/pull" | awk -v most="$MAXENTRIES" "$READ_LISTING")
	judge_listing
	try mkdir -- "$beside" || stage_fail "cannot write $beside: $why" "$advice"
	# tar itself keeps within the folder; whatever it had to keep is refused.
	(umask 022 && decode | tar -x -f - -C "$beside" --no-same-owner --same-permissions) >"$R/pull" 2>&1
	judge_unpacking $?
}

# judge_unpacking STATUS
judge_unpacking() {
	why=$(head -c 1000 -- "$R/pull")
	case $why in
	*emoving\ leading* | *skipped\ \"* | *stripped\ absolute*) pull_fail entry "an entry would be unpacked outside its folder: $why" ;;
	esac
	[ "$1" = 0 ] || pull_fail unpack "$why"
}

# READ_LISTING: of `tar -tv`, "ENTRIES BYTES", or "!" and what is wrong with the entry.
READ_LISTING='
function refuse(why) { if (!bad) bad = "!entry " substr($0, 1, 300) " " why }
{
	if (bad) next
	if (++n > most) { bad = "!there are more than " most " entries"; next }
	if ($0 !~ /^[-dlhbcpsCVMSDNL]/ || !match($0, /^[^ ]+ +[0-9]+\/[0-9]+ +[0-9,]+ [0-9]+-[0-9]+-[0-9]+ [0-9:.]+ /)) { refuse("has a name that is none"); next }
	if ($0 !~ /^[-dlh]/) { refuse("is neither a file, a folder nor a link"); next }
	split($0, f, / +/)
	size += f[3]
	name = substr($0, RLENGTH + 1)
	if (name ~ /^\// || name ~ /(^|\/)\.\.\// && $0 !~ /^[lh]/) refuse("would be unpacked outside its folder")
}
END { if (bad) print bad; else printf "%d %.0f\n", n, size }
'

# judge_listing: before anything is unpacked, what is in it, and that there is room for it.
judge_listing() {
	why=$(head -c 1000 -- "$R/pull")
	case $why in
	*emoving\ leading*) pull_fail entry "an entry would be unpacked outside its folder: $why" ;;
	esac
	case $listed in
	!*) pull_fail entry "${listed#?}" ;;
	0\ *) pull_fail unpack "it holds nothing: $why" ;;
	esac
	bytes=${listed#* }
	room=$(df --output=avail -B1 -- "$dir" | tail -n 1)
	room=$((${room:-0}))
	[ "${#bytes}" -le 10 ] && [ "$bytes" -le "$MAXSOURCE" ] || pull_fail size "$bytes"
	[ "$bytes" -le "$room" ] || pull_fail room "$bytes $room"
}

unpack_zip() {
	listed=$($unzip_box unzip -l "$part" 2>"$R/pull" </dev/null | awk -v most="$MAXENTRIES" "$READ_ZIP")
	judge_listing
	try mkdir -- "$beside" || stage_fail "cannot write $beside: $why" "$advice"
	(umask 022 && $unzip_box unzip -q -o "$part" -d "$beside" </dev/null) >"$R/pull" 2>&1
	judge_unpacking $?
}

# READ_ZIP: the same of `unzip -l`.
READ_ZIP='
match($0, /^ *[0-9]+ +[0-9]+-[0-9]+-[0-9]+ +[0-9:]+ +/) && !bad {
	if (++n > most) bad = "!there are more than " most " entries"
	size += $1
	name = substr($0, RLENGTH + 1)
	if (name ~ /^\// || name ~ /(^|[\/\\])\.\.([\/\\]|$)/) bad = "!entry " substr(name, 1, 300) " would be unpacked outside its folder"
}
END { if (bad) print bad; else printf "%d %.0f\n", n, size }
'

# check_tree: what was unpacked is files, folders and links, and none leads out of it.
check_tree() {
	odd=$(cd "$beside" && find . ! -type f ! -type d ! -type l | head -n 1)
	[ -z "$odd" ] || pull_fail entry "entry $odd is neither a file, a folder nor a link"
	odd=$(cd "$beside" && find . -name '*[[:cntrl:]]*' | head -n 1 | head -c 200)
	[ -z "$odd" ] || pull_fail entry "an entry's name has a control character"
	odd=$(cd "$beside" && find . -type f -links +1 -exec stat -c '%i %h' -- {} + |
		awk '{ n[$1]++; all[$1] = $2 } END { for (i in n) if (n[i] != all[i]) { print i; exit } }')
	[ -z "$odd" ] || pull_fail entry "$(cd "$beside" && find . -inum "$odd" | head -n 1) is another name of a file outside its folder"
	odd=$(cd "$beside" && find . -type l -exec stat -c %N -- {} + | awk "$READ_LINKS")
	[ -z "$odd" ] || pull_fail entry "$odd"
}

# READ_LINKS: the first of the lines "NAME" -> "TARGET" that leads out.
READ_LINKS='
{
	if (!(at = index($0, "\" -> \""))) next
	from = substr($0, 2, at - 2)
	to = substr($0, at + 6, length($0) - at - 6)
	deep = split(from, part, "/") - 2
	out = to ~ /^\//
	n = split(to, part, "/")
	for (i = 1; i <= n && !out; i++) {
		if (part[i] == "..") { if (--deep < 0) out = 1 }
		else if (part[i] != "" && part[i] != ".") deep++
	}
	if (out) { print "entry " substr(from, 3) " links to " to ", outside its folder"; exit }
}
'
