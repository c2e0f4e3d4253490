# images.sh: images of containers, before anything is staged.
#
# Set by the controller: IMAGES (lines, tab separated: docker or podman, name).

# pull_images: those that the tool does not have.
pull_images() {
	PATH=$PATH:/usr/local/bin
	for image in $IMAGES; do
		tool=${image%%"$TAB"*} name=${image#*"$TAB"}
		command -v "$tool" >/dev/null ||
			die failed "there is no $tool to have the image $name; nothing was staged" "install $tool there"
		with_tool 60 image inspect >/dev/null && continue
		try with_tool 1500 pull -q || die failed "$tool cannot pull the image $name: $(printf %s "$why" | tail -c 1000); nothing was staged" \
			"see whether it is called that, and try $tool pull $name there, as root"
	done
}

# with_tool SECONDS WORD…: what it leaves running must hold neither the reply nor the lock.
with_tool() (
	exec 3>&- 9>&- </dev/null
	umask 022
	HOME=${HOME:-/root}
	export HOME
	seconds=$1
	shift
	exec timeout "$seconds" "$tool" "$@" -- "$name" 2>&1
)
