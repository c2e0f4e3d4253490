# entry.sh: one line of a manifest, and the users that lines name.

# split LINE: an entry's fields into $kind $name $sha $owner $group $mode $target $enabled $state.
split() {
	IFS=$TAB
	set -- $1
	IFS=$NL
	kind=$1 name=$3 sha=$4 owner=$5 group=$6 mode=$7 target=$8 enabled=$9
	shift 9
	state=$1
	[ "$owner" = - ] && owner=root
	[ "$group" = - ] && group=root
	return 0
}

# make_user NAME HOME: a system user with a group of its own, unless it is there. No user
# is ever changed or removed.
make_user() {
	getent passwd -- "$1" >/dev/null && return 0
	home=$2
	[ "$home" = - ] && home=/
	if command -v systemd-sysusers >/dev/null; then
		why=$(printf 'u %s - "%s" %s\n' "$1" "$1" "$home" | systemd-sysusers - 2>&1)
	else
		try useradd --system --user-group --no-create-home --home-dir "$home" --shell /usr/sbin/nologin -- "$1"
	fi
	getent passwd -- "$1" >/dev/null && return 0
	why="cannot make the user $1: $why" mend="make it there by hand, or correct its name"
	return 1
}
