# switch.sh: the controller's switch, with its compare-and-swap, journal and undoing.
#
# Set by the controller: TO, EXPECT (lines: digest or "-", tab, path), LEAVE (lines: paths
# and units of the generation that stay as they are), ALIKE (lines: digest, tab, path), KEEP, BACK (1: a step is taken back), RECORD, REFUSE,
# FORGET, RENEW (see settings.sh), REENABLE, UNKNOWN and FRESH (units, a line each), DEADMAN (seconds, or 0; the timer's script of DEADMANSIZE bytes is on standard input).

op_switch() {
	begin_change
	come_from
	check_step
	[ "$BACK" = 0 ] || make_room "$from"
	to=$TO other=$from touched= mend= lenient=
	[ "$BACK" = 0 ] || lenient=1
	load_generation && survey || die failed "$why; nothing was changed" "$mend"
	check_expect
	if [ "$DEADMAN" != 0 ] || [ -e "$D/deadman" ]; then
		put_record
		rearm
		RECORD=
	fi
	[ ! -e "$D/switching" ] || clear_beside
	if [ -z "$journaled" ]; then
		mend=$ADVICE_DISK
		refuse && save_found && put_journal || undo
	else
		put_record
	fi
	keep_times
	carry_out || undo
	# Its end is durable with that of the step. Until then it may come back after a loss of
	# power, and the switch is made once more: it finds all in place.
	collect
	try rm -rf -- "$D/switching" $left
	[ ! -e "$D/switching" ] && forget || die failed "all is in place, but the journal cannot be removed: $why" "$ADVICE_DISK"
	tell_units
	finish
}

# come_from: the generation on disk, or the other one of a switch that was cut.
come_from() {
	from=0 journaled= resumed=
	if [ -L "$D/current" ]; then
		from=
		[ -f "$D/current/manifest" ] && IFS=$TAB read -r a b from rest <"$D/current/manifest"
		case $from in
		'' | *[!0-9]*)
			from=$(readlink -- "$D/current")
			from=${from##*/}
			;;
		esac
	fi
	[ -e "$D/switching" ] || return 0
	IFS=' ' read -r a b <"$D/switching"
	case $TO in
	"$b") from=$a ;;
	"$a") from=$b ;;
	*)
		# One that was only mending what was on disk stands in no other's way.
		if [ "$a" = "$b" ]; then
			from=$a
			return
		fi
		die conflict "a switch from generation $a to $b was cut, and this one is to $TO" "switch to $a or $b first"
		;;
	esac
	journaled=1 resumed=1
}

# check_expect: what is to be replaced must be what the controller saw. In a switch that
# was cut, what either generation has is as good.
check_expect() {
	[ "$EXPECT" ] || return 0
	was_surveyed
	names=
	for line in $EXPECT; do
		case $surveyed in
		*"$NL${line#*"$TAB"}$TAB"*) ;;
		*) names="$names$NL${line#*"$TAB"}" ;;
		esac
	done
	stats=
	[ -z "$names" ] || stats=$(stat --printf="$STAT" -- $names 2>/dev/null)
	files=
	for line in $stats; do
		path_of "$line"
		case $line in
		8*) files="$files$NL$path" ;;
		esac
	done
	sums=
	[ -z "$files" ] || sums=$(sha256sum -- $files 2>/dev/null)
	text=
	if [ "$journaled" ]; then
		text_of "$D/generations/$from/manifest"
		both=$text
		text_of "$D/generations/$TO/manifest"
		both="$NL$both$NL$text$NL"
	fi
	for line in $EXPECT; do
		name=${line#*"$TAB"}
		now=-
		if [ -e "$name" ] || [ -L "$name" ]; then
			now=other
			[ -f "$name" ] && [ ! -L "$name" ] && digest_of "$name"
		fi
		[ "$now" = "${line%%"$TAB"*}" ] && continue
		[ "$journaled" ] && either "$name" && continue
		die conflict "$name was changed there since it was looked at" "see who else writes it; evenkeel observes and plans again"
	done
}

# keep_times gives a content that means what is on disk already the time of that. It is a
# matter of telling who is behind, and of nothing else.
keep_times() {
	for line in $ALIKE; do
		name=${line#*"$TAB"} sum=${line%%"$TAB"*}
		[ -f "$name" ] && [ ! -L "$name" ] && [ "$name" -ot "$D/blobs/$sum" ] && touch -c -r "$name" -- "$D/blobs/$sum"
	done
	return 0
}

# was_surveyed lists what is known already, "PATH DIGEST" with a tab between; "-" of what
# was not there.
was_surveyed() {
	surveyed=$NL i=0
	while [ "$i" -lt "$count" ]; do
		i=$((i + 1))
		eval "name=\$P$i stat=\$T$i sum=\$H$i"
		case $stat in
		8*) [ -z "$sum" ] || surveyed="$surveyed$name$TAB$sum$NL" ;;
		'') [ -z "$name" ] || surveyed="$surveyed$name$TAB-$NL" ;;
		esac
	done
}

# digest_of PATH, in $now.
digest_of() {
	case $surveyed in
	*"$NL$1$TAB"*)
		now=${surveyed#*"$NL$1$TAB"}
		now=${now%%"$NL"*}
		[ "$now" != - ] || now=other # it has come since
		return
		;;
	esac
	for sum in $sums; do
		case $sum in
		\\*) sum_name "${sum#\\}" ;;
		*) name=/${sum#*/} ;;
		esac
		[ "$name" = "$1" ] || continue
		sum=${sum#\\}
		now=${sum%% *}
		return
	done
	now=unreadable
}

# put_journal: from here on the files count as mixed. The record of the step comes first.
put_journal() {
	if [ "$RECORD" ]; then
		put_two "$D/step" "$RECORD" "$D/switching" "$from $TO"
	else
		put "$D/switching" "$from $TO"
	fi
}

# either NAME: in a cut switch, whether $now is what one of the two generations has there.
either() {
	there=
	for e in $both; do
		split "$e"
		[ "$name" = "$1" ] || continue
		[ "$kind" = file ] && [ "$sha" = "$now" ] && return 0
		[ "$kind" = link ] && [ "$now" = other ] && [ -L "$1" ] && return 0
		there="$there."
	done
	# One of the two does not have it.
	[ "$now" = - ] && [ "$there" != .. ]
}

# save_found keeps what is in the place of things that the generation on disk does not
# have: the way back to it then restores them.
save_found() {
	[ "$from" != "$TO" ] || return 0
	unknown=$NL$UNKNOWN$NL
	lines= list= i=0
	while [ "$i" -lt "$count" ]; do
		i=$((i + 1))
		entry "$i"
		key
		case $others in
		*"$NL$key$NL"*) continue ;;
		esac
		found_line || return 1
		[ "$kind" = unit ] || continue
		case $unknown in
		*"$NL$name$NL"*) ;;
		*) list="$list$NL$name" ;;
		esac
	done
	[ -z "$list" ] || found_units $list || return 1
	if [ -z "$lines" ]; then
		drop "$D/generations/$from/found"
		return
	fi
	[ -d "$D/generations/$from" ] || try mkdir -p -- "$D/generations/$from/blobs" || return 1
	[ -e "$D/generations/$from/manifest" ] || put "$D/generations/$from/manifest" "evenkeel${TAB}1$TAB$from$TAB-$TAB-" || return 1
	put "$D/generations/$from/found" "found$lines"
}

found_line() {
	IFS=' '
	set -- $stat
	IFS=$NL
	case $stat in
	8*)
		[ "$kind" = directory ] && return 0
		[ "$sum" ] || {
			why="cannot read $name"
			return 1
		}
		keep_blob || return 1
		lines="$lines${NL}file$TAB-$TAB$name$TAB$sum$TAB$5$TAB$7$TAB$2$TAB-$TAB-$TAB-"
		;;
	a*)
		lines="$lines${NL}link$TAB-$TAB$name$TAB-$TAB-$TAB-$TAB-$TAB$(readlink -- "$name")$TAB-$TAB-"
		;;
	4*)
		lines="$lines${NL}directory$TAB-$TAB$name$TAB-$TAB$5$TAB$7$TAB$2$TAB-$TAB-$TAB-"
		;;
	esac
	return 0
}

# found_units UNIT…: whether they were enabled; those that had no file go to $unknown.
found_units() {
	states_of "$@" || return 1
	for file in $files; do
		case $file in
		enabled) lines="$lines${NL}unit$TAB-$TAB$1$TAB-$TAB-$TAB-$TAB-$TAB-${TAB}yes$TAB-" ;;
		disabled) lines="$lines${NL}unit$TAB-$TAB$1$TAB-$TAB-$TAB-$TAB-$TAB-${TAB}no$TAB-" ;;
		-) unknown="$unknown$1$NL" ;;
		esac
		shift
	done
}

keep_blob() {
	[ -d "$D/generations/$from/blobs" ] || try mkdir -p -- "$D/generations/$from/blobs" || return 1
	if [ ! -f "$D/blobs/$sum" ]; then
		try cp --preserve=timestamps -- "$name" "$D/blobs/.found" && try chmod 0600 "$D/blobs/.found" && try sync -- "$D/blobs/.found" &&
			try mv -f -- "$D/blobs/.found" "$D/blobs/$sum" || return 1
	fi
	try ln -f -t "$D/generations/$from/blobs" -- "$D/blobs/$sum"
}

# undo: the switch failed in the middle. The host goes back by itself.
undo() {
	reason=$why advice=$mend journaled=1
	[ "$DEADMAN" = 0 ] || stand_down
	if [ -z "$touched" ]; then
		[ "$resumed" ] || drop "$D/switching"
		die failed "$reason; nothing in use was changed" "$advice"
	fi
	if [ "$from" != "$TO" ] && make_room "$TO" && switch_to "$from" "$TO" && drop "$D/switching"; then
		die failed "$reason; generation $from was put back" "$advice"
	fi
	[ "$from" != "$TO" ] && reason="$reason; generation $from could not be put back: $why"
	die failed "$reason; files of two generations may be mixed until a switch succeeds" "$advice"
}

# tell_units: the state of all units of both generations, as it was told a moment ago if
# nothing was done to them since.
tell_units() {
	if [ -z "$plain" ]; then
		list= i=0
		while [ "$i" -lt "$count" ]; do
			i=$((i + 1))
			entry "$i"
			[ "$kind" = unit ] && list="$list$NL$name"
		done
		and_others
		units=$list
		show_units
		return
	fi
	rec units $plain
	printf '%s\n' "$shown" >&3
}
