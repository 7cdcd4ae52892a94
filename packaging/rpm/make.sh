# shellcheck shell=bash
# The second half of scripts/package, sourced by it: .rpm and tarball, for hosts with glibc 2.34 and newer.

glibc_max=2.34
staged=$work/staged

stage() {
    say "programs that need nothing newer than glibc $glibc_max"
    local flags="-g -O2 -ffile-prefix-map=$source=. -fstack-protector-strong -Wformat -Werror=format-security"
    flags+=" -Wdate-time -D_FORTIFY_SOURCE=2"
    # The flags of the .deb, in its place: the objects come out of ccache.
    (cd "$source" && cmake -S . -B obj-rpm -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO= \
        -DCMAKE_C_FLAGS_RELWITHDEBINFO= -DCMAKE_C_FLAGS="$flags" -DCMAKE_CXX_FLAGS="$flags" -DCMAKE_INSTALL_PREFIX=/usr \
        -DCMAKE_EXE_LINKER_FLAGS="-Wl,-z,relro -Wl,-z,now" -DCMAKE_INSTALL_SYSCONFDIR=/etc \
        -DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DRIDGELINE_STATIC=ON -DRIDGELINE_TESTS=OFF -DRIDGELINE_PACKAGE=ON \
        -DRIDGELINE_OLD_GLIBC=ON -DCMAKE_SKIP_RPATH=ON && ninja -C obj-rpm -j "$JOBS") >"$work/rpm.log" 2>&1 ||
        { tail -40 "$work/rpm.log" >&2; fail "the build failed; all of it is in $work/rpm.log"; }
    rm -rf "$staged"
    DESTDIR=$staged cmake --install "$source/obj-rpm" >/dev/null
    local unit=$staged/usr/lib/systemd/system package kind program
    mkdir -p "$unit" "$staged"/usr/lib/{sysusers.d,tmpfiles.d} "$staged"/usr/lib/debug/usr/{bin,libexec/ridgeline} \
        "$staged"/etc/ridgeline/{agent.d,agents.d,collector.d,rules.d} "$staged"/var/lib/ridgeline-{agent,collector}
    cp "$source"/systemd/*.service "$source"/systemd/*.timer "$unit/"
    for package in ridgeline-agent ridgeline-collector; do
        for kind in sysusers tmpfiles; do
            cp "$source/systemd/$package.$kind" "$staged/usr/lib/$kind.d/$package.conf"
        done
    done
    for package in ridgeline ridgeline-agent ridgeline-collector; do
        install -Dm 644 "$source/LICENSE" "$staged/usr/share/licenses/$package/LICENSE"
    done
    mkdir -p "$staged/usr/share/zsh"
    mv "$staged/usr/share/zsh/vendor-completions" "$staged/usr/share/zsh/site-functions"
    find "$staged/usr/share/man" -type f -exec gzip -n9 {} +
    for program in usr/bin/ridgeline usr/bin/ridgeline-agent usr/bin/ridgeline-collector usr/libexec/ridgeline/certprobe; do
        objcopy --only-keep-debug --compress-debug-sections "$staged/$program" "$staged/usr/lib/debug/$program.debug"
        strip --strip-unneeded "$staged/$program"
        objcopy --add-gnu-debuglink="$staged/usr/lib/debug/$program.debug" "$staged/$program"
        chmod 644 "$staged/usr/lib/debug/$program.debug"
        check_glibc "$staged/$program"
    done
    find "$staged" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

check_glibc() {
    local newest
    newest=$(objdump -T "$1" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
    [[ $(printf '%s\n' "GLIBC_$glibc_max" "$newest" | sort -V | tail -1) == "GLIBC_$glibc_max" ]] ||
        fail "${1##*/} needs $newest: $(objdump -T "$1" | grep -F "$newest")"
}

# make_rpms REVISION DIRECTORY [COMPRESSION]
make_rpms() {
    say "rpm, revision $1"
    rm -rf "$work/rpms"
    rpmbuild -bb --quiet --define "_topdir $work/rpmbuild" --define "staged $staged" --define "_rpmdir $work/rpms" \
        --define "version_given $version" --define "revision_given $1" \
        --define "changelog_date $(LC_ALL=C TZ=UTC date -d "@$SOURCE_DATE_EPOCH" '+%a %b %d %Y')" --define "_licensedir /usr/share/licenses" \
        --define "_binary_payload w${3:-19}.zstdio" --define "__os_install_post %{nil}" "$source/packaging/rpm/ridgeline.spec"
    mkdir -p "$2"
    mv "$work"/rpms/*/*.rpm "$2/"
}

# For hosts with neither: what the .rpms hold, and a script that puts it in place.
make_tarball() {
    say "tarball"
    local name
    name=ridgeline-$version-linux-$(uname -m)
    rm -rf "${work:?}/$name"
    mkdir -p "$work/$name"
    cp -a "$staged" "$work/$name/root"
    rm -rf "$work/$name/root/usr/lib/debug"
    cp "$source/packaging/tarball/install" "$source/LICENSE" "$source/README.md" "$work/$name/"
    tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -c "$name" |
        zstd -q -19 -f -o "$dist/$name.tar.zst"
}

stage
make_rpms "$revision" "$dist"
make_tarball
