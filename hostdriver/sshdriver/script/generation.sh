# generation.sh: make one kept generation the one on disk. The controller's switch and
# the dead man's timer both come here; everything needed is on the host.
#
# The entries that shall be on disk are E1…En, as lines of a manifest, with P their
# path (or ""), T what stat says of it, H its digest. The journal $D/switching holds
# "FROM TO" from before the first write until all is done, so after a crash the files
# are known to be mixed, and either generation can be made whole by coming here again.

BESIDE=.evenkeel-new.

# switch_to TARGET OTHER: every entry of TARGET in place, and what only OTHER had gone.
# On failure $why and $mend tell; $touched tells whether anything in use was changed.
switch_to() {
	to=$1 other=$2 touched= mend= lenient=1
	load_generation && survey && clear_beside && carry_out
}

carry_out() {
	touched=
	make_users && make_directories && prepare || {
		clear_beside
		return 1
	}
	touched=1 mend=
	disable_gone && rename_all && remove_gone && turn_current && apply_settings && set_units && linger_off
}

# text_of FILE: a manifest's entry lines in $text.
text_of() {
	text=
	[ -f "$1" ] || return 0
	text=$(cat -- "$1") || {
		why="cannot read $1"
		return 1
	}
	case $text in
	*"$NL"*) text=${text#*"$NL"} ;;
	*) text= ;;
	esac
}

# key of the entry in hand: paths share one space of names, whatever they are.
key() {
	case $kind in
	unit | user) key="$kind$TAB$name" ;;
	*) key="path$TAB$name" ;;
	esac
}

# two_texts FILE FILE: $first and $text, for the price of one.
two_texts() {
	if [ "$1" != "$2" ] && [ -f "$1" ] && [ -f "$2" ] && text=$(cat -- "$1" "$2"); then
		first=${text%%"${NL}evenkeel$TAB"*}
		if [ "$first" != "$text" ]; then
			text=${text#"$first$NL"}
			case $first in
			*"$NL"*) first=${first#*"$NL"} ;;
			*) first= ;;
			esac
			case $text in
			*"$NL"*) text=${text#*"$NL"} ;;
			*) text= ;;
			esac
			return 0
		fi
	fi
	text_of "$1" || return 1
	first=$text
	text_of "$2"
}

load_generation() {
	count=0 keys=$NL gone= gonenames= names= others=$NL
	two_texts "$D/generations/$other/manifest" "$D/generations/$to/manifest" || return 1
	othertext=$first
	for line in $othertext; do
		split "$line"
		key
		others="$others$key$NL"
	done
	if [ "$to" != 0 ] && [ ! -f "$D/generations/$to/manifest" ]; then
		why="generation $to is not kept there" mend="stage it again"
		return 1
	fi
	for line in $text; do
		split "$line"
		key
		keys="$keys$key$NL"
		add_entry
	done
	load_found
	for line in $othertext; do
		split "$line"
		key
		case $keys in
		*"$NL$key$NL"*) ;;
		*)
			gone="$gone$NL$line"
			[ "$kind" = file ] || [ "$kind" = link ] && gonenames="$gonenames$NL$name"
			;;
		esac
	done
	return 0
}

# add_entry: what is to be left as it is stands in keys, and is otherwise passed over.
add_entry() {
	case $NL${LEAVE-}$NL in
	*"$NL$name$NL"*) [ "$kind" = user ] || return 0 ;;
	esac
	count=$((count + 1))
	case $kind in
	file | link | directory) P=$name names="$names$NL$name" ;;
	*) P= ;;
	esac
	eval "E$count=\$line P$count=\$P T$count= H$count="
}

# load_found adds what had been in the place of things before evenkeel managed them, for
# a way back to a generation that did not have them.
load_found() {
	set -- "$to"
	if [ "$to" -lt "$other" ]; then
		set --
		g=$to
		while [ "$g" -lt "$other" ]; do
			[ -f "$D/generations/$g/found" ] && set -- "$@" "$g"
			g=$((g + 1))
		done
	fi
	for g; do
		text_of "$D/generations/$g/found" || return 1
		for line in $text; do
			split "$line"
			key
			case $keys in
			*"$NL$key$NL"*) continue ;;
			esac
			case $others in
			*"$NL$key$NL"*) ;;
			*) continue ;;
			esac
			keys="$keys$key$NL"
			add_entry
		done
	done
}

# survey fills T and H. stat and sha256sum answer in the order asked, leaving out what
# is not there, so each answer is matched by going forward.
survey() {
	[ "$names" ] || return 0
	files= i=0
	for line in $(stat --printf="$STAT" -- $names 2>/dev/null); do
		path_of "$line"
		match "$path" || return 1
		eval "T$i=\$line"
		case $line in
		8*) files="$files$NL$path" ;;
		esac
	done
	[ "$files" ] || return 0
	i=0
	for line in $(sha256sum -- $files 2>/dev/null); do
		case $line in
		\\*) sum_name "${line#\\}" ;;
		*) sum=${line%% *} name=/${line#*/} ;;
		esac
		match "$name" || return 1
		eval "H$i=\$sum"
	done
}

# sum_name undoes the escapes by which sha256sum prints a name with a backslash.
sum_name() {
	sum=${1%% *} rest=/${1#*/} name=
	while :; do
		case $rest in
		*\\\\*)
			name=$name${rest%%\\\\*}\\
			rest=${rest#*\\\\}
			;;
		*) break ;;
		esac
	done
	name=$name$rest
}

match() {
	while [ "$i" -lt "$count" ]; do
		i=$((i + 1))
		eval "q=\$P$i"
		[ "$q" = "$1" ] && return 0
	done
	why="$1 was not asked for"
	return 1
}

# entry I: split it, with its $stat and $sum.
entry() {
	eval "line=\$E$1 stat=\$T$1 sum=\$H$1"
	split "$line"
}

# same_owner: whether stat shows the entry's mode, owner and group, by name or number.
same_owner() {
	IFS=' '
	set -- $stat
	IFS=$NL
	[ "$2" = "$mode" ] || return 1
	[ "$4" = "$owner" ] || [ "$5" = "$owner" ] || return 1
	[ "$6" = "$group" ] || [ "$7" = "$group" ]
}

# make_users makes what is missing. No user is ever changed or removed.
make_users() {
	i=0
	while [ "$i" -lt "$count" ]; do
		i=$((i + 1))
		entry "$i"
		[ "$kind" = user ] || continue
		make_user "$name" "$target" || return 1
	done
	return 0
}

make_directories() {
	i=0
	while [ "$i" -lt "$count" ]; do
		i=$((i + 1))
		entry "$i"
		[ "$kind" = directory ] || continue
		case $stat in
		4*) same_owner && continue ;;
		'')
			(umask 022 && mkdir -p -- "$name") 2>/dev/null
			;;
		*)
			why="$name is no directory" mend="move it away there, or manage another path"
			return 1
			;;
		esac
		[ ! -L "$name" ] && try chown -- "$owner:$group" "$name" && try chmod -- "$mode" "$name" && continue
		why="cannot make the directory $name: $why" mend="$ADVICE_DISK"
		return 1
	done
	return 0
}

# prepare writes each changed file beside its place, owned and closed as it will be
# before its content comes, and proves the contents; nothing in use is touched.
prepare() {
	changed= beside= expected=
	i=0
	while [ "$i" -lt "$count" ]; do
		i=$((i + 1))
		entry "$i"
		dir=${name%/*}
		dir=${dir:-/}
		tmp=$dir/$BESIDE$i
		mend="see whether the filesystem of $dir is full or read-only: df $dir; df -i $dir"
		case $kind in
		file) prepare_file || return 1 ;;
		link) prepare_link || return 1 ;;
		release)
			[ -e "$name" ] && continue
			why="the release $name is not there" mend="stage it again"
			return 1
			;;
		esac
	done
	[ "$beside" ] || return 0
	prove && try sync -- $beside
}

prepare_place() {
	case $stat in
	4*)
		why="$name is a directory" mend="move it away there, or manage another path"
		return 1
		;;
	esac
	[ -d "$dir" ] && return 0
	(umask 022 && mkdir -p -- "$dir") && return 0
	why="cannot make the directory $dir"
	return 1
}

prepare_file() {
	case $stat in
	8*) [ "$sum" = "$sha" ] && same_owner && return 0 ;;
	esac
	prepare_place || return 1
	[ -e "$tmp" ] || [ -L "$tmp" ] && rm -f -- "$tmp"
	set -C
	# What is done through fd 8 is done to the file just made, even if another user
	# who owns the directory puts something else under its name.
	command exec 8>"$tmp"
	opened=$?
	set +C
	if [ "$opened" = 0 ] && own_fd && try chmod -- "$mode" /proc/self/fd/8 &&
		try cp --preserve=timestamps -- "$D/blobs/$sha" /proc/self/fd/8; then
		exec 8>&-
		beside="$beside$NL$tmp"
		expected="$expected$sha$NL"
		changed="$changed$NL$i"
		return 0
	fi
	[ "$opened" = 0 ] && exec 8>&-
	why="cannot write beside $name: $why"
	return 1
}

# own_fd: what root makes is root's already, but for the group in a setgid directory.
own_fd() {
	[ "$owner$group" = rootroot ] && [ ! -g "$dir" ] || try chown -- "$owner:$group" /proc/self/fd/8
}

# prove compares what was written with the digests it is known by.
prove() {
	set -- $expected
	for sum in $(sha256sum -- $beside); do
		sum=${sum#\\}
		[ "${sum%% *}" = "$1" ] || break
		shift
	done
	[ $# = 0 ] && return 0
	why="the content $1 is damaged in $D/blobs" mend="stage the generation again"
	return 1
}

prepare_link() {
	case $stat in
	a*" -> \"$target\"") return 0 ;; # as stat quotes it, if it has nothing to quote
	a*) [ "$(readlink -- "$name")" = "$target" ] && return 0 ;;
	esac
	prepare_place || return 1
	try ln -s -- "$target" "$tmp" || {
		why="cannot make a link beside $name: $why"
		return 1
	}
	changed="$changed$NL$i"
}

# clear_beside removes what prepare left, here or in a request that was cut.
clear_beside() {
	set +f
	set --
	for path in $names $gonenames; do
		for f in "${path%/*}/$BESIDE"*; do
			if [ -e "$f" ] || [ -L "$f" ]; then
				set -- "$@" "$f"
			fi
		done
	done
	set -f
	[ $# = 0 ] || rm -f -- "$@"
}

rename_all() {
	dirs=$NL
	for i in $changed; do
		entry "$i"
		dir=${name%/*}
		dir=${dir:-/}
		try mv -fT -- "$dir/$BESIDE$i" "$name" || {
			why="cannot put $name in its place: $why"
			return 1
		}
		case $dirs in
		*"$NL$dir$NL"*) ;;
		*) dirs="$dirs$dir$NL" ;;
		esac
	done
}

# remove_gone: files and links that only the other generation had, unless something of
# another type is there by now. Directories, users and releases stay.
remove_gone() {
	set --
	for line in $gone; do
		split "$line"
		case $kind in
		file) [ -f "$name" ] && [ ! -L "$name" ] || continue ;;
		link) [ -L "$name" ] || continue ;;
		*) continue ;;
		esac
		set -- "$@" "$name"
		dir=${name%/*}
		dirs="$dirs${dir:-/}$NL"
	done
	if [ $# -gt 0 ]; then
		try rm -f -- "$@" || {
			why="cannot remove what is no longer managed: $why"
			return 1
		}
	fi
	return 0
}

# point_current: by the link that was made with the generation, if this is its first time.
point_current() {
	[ ! -L "$D/generations/$to/link" ] || ! try mv -fT -- "$D/generations/$to/link" "$D/current" || return 0
	[ ! -L "$D/current.new" ] || rm -f -- "$D/current.new"
	try ln -s -- "generations/$to" "$D/current.new" && try mv -fT -- "$D/current.new" "$D/current"
}

# turn_current makes all renames durable, too: until the journal is gone the files count as
# mixed anyway.
turn_current() {
	if [ "$to" = 0 ]; then
		[ "$dirs" = "$NL" ] || try sync -- $dirs || return 1
		drop "$D/current"
		return
	fi
	point_current && try sync -- $dirs "$D" && return 0
	why="cannot turn $D/current: $why" mend=$ADVICE_DISK
	return 1
}
