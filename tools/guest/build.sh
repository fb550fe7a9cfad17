#!/usr/bin/env bash
# Builds the tiny guest image from two Debian packages: a kernel and busybox. Nothing is installed, root is not needed.
#
#   build.sh DIR          makes DIR/vmlinuz and DIR/initrd.img: a guest that runs wholly in RAM (128 MiB are plenty)
#   build.sh --disk DIR   makes DIR/disk.qcow2 as well: the same guest as a whole disk with its own boot loader
#
# What is there already and complete is kept (DIR/.stamp says of what it was made). Ends with the paths on stdout.
set -euo pipefail
export LC_ALL=C PATH="$PATH:/sbin:/usr/sbin"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

die() { echo "guest image: $*" >&2; exit 1; }

disk=no
[ "${1:-}" = --disk ] && { disk=yes; shift; }
[ $# -eq 1 ] && [ -n "$1" ] || die "usage: build.sh [--disk] DIR"
mkdir -p "$1"
out=$(cd "$1" && pwd)
parts=(vmlinuz initrd.img)
[ $disk = yes ] && parts+=(disk.qcow2)

stamp=$(cat "$here/build.sh" "$here/init" | sha256sum | cut -c1-16)
complete() {
  [ "$(cat "$out/.stamp" 2>/dev/null)" = "$stamp" ] || return 1
  for part in "${parts[@]}"; do [ -s "$out/$part" ] || return 1; done
}
say() { for part in "${parts[@]}"; do echo "$out/$part"; done; }
if complete; then say; exit 0; fi

# Tool and the package that has it.
missing=
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
command -v apt-get >/dev/null && command -v dpkg >/dev/null || die "needs a Debian system (apt-get, dpkg)"
[ "$(dpkg --print-architecture)" = amd64 ] || die "is made for amd64 only, this is $(dpkg --print-architecture)"
need gzip gzip
if [ $disk = yes ]; then
  need mkfs.vfat dosfstools; need mcopy mtools; need syslinux syslinux; need qemu-img qemu-utils
fi
[ -z "$missing" ] || die "install first: apt-get install -y --no-install-recommends$missing"

kernel_package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/^ *Depends: linux-image-/ {print $2; exit}')
[ -n "$kernel_package" ] || die "no package linux-image-cloud-amd64 is known here: run apt-get update"

# The work is done beside the result, so that the last step is a rename and a killed build leaves nothing half.
work=$(mktemp -d "$out/.build.XXXXXX")
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -q download "$kernel_package" busybox-static >download.log 2>&1) ||
  die "download failed: $(grep -m1 '^E:' "$work/download.log" || tail -n1 "$work/download.log")"
for package in "$work"/*.deb; do dpkg -x "$package" "$work/packages"; done

busybox=$(find "$work/packages" -type f -path '*/bin/busybox' | head -n1)
modules=$(find "$work/packages" -type d -path '*/lib/modules/*' -name '[0-9]*' | head -n1)
version=$(basename "$modules")
cp "$work/packages/boot/vmlinuz-$version" "$work/vmlinuz"

root=$work/root
mkdir -p "$root"/{bin,etc/acpi/PWRF,lib/modules,root}
cp "$busybox" "$root/bin/busybox"
for applet in $("$busybox" --list); do [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"; done
cp "$here/init" "$root/init"

# The modules that the guest wants, and what they depend on. Newer Debian compresses them; busybox wants them plain.
find "$modules" -name '*.ko.xz' -print0 | xargs -0 -r "$busybox" unxz
[ -e "$work/packages/lib/modules" ] || { mkdir -p "$work/packages/lib"; ln -s ../usr/lib/modules "$work/packages/lib/modules"; }
"$busybox" depmod -b "$work/packages" "$version"
for name in virtio_pci virtio_blk virtio_net virtio-rng button evdev pvpanic-pci isofs \
  vfat nls_ascii nls_cp437 nls_utf8; do
  for file in $(sed -n "s|^\\(.*/$name\\.ko\\):|\\1|p" "$modules/modules.dep"); do
    mkdir -p "$root/lib/modules/$version/$(dirname "$file")"
    cp "$modules/$file" "$root/lib/modules/$version/$file"
  done
done
"$busybox" depmod -b "$root" "$version"

cat >"$root/etc/udhcpc" <<'SCRIPT'
#!/bin/sh
# Called by udhcpc with what the network offered.
case $1 in
bound | renew)
  ip address flush dev "$interface"
  ip address add "$ip/${mask:-24}" dev "$interface"
  [ -z "$router" ] || ip route replace default via "${router%% *}" dev "$interface"
  for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
  echo "$ip" >/run/address
  ;;
esac
SCRIPT
printf '#!/bin/sh\necho "power button pressed" >/dev/ttyS0\nsync\npoweroff -f\n' >"$root/etc/acpi/PWRF/00000080"
echo 'root::0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
echo "PS1='guest# '" >"$root/etc/profile"
chmod +x "$root/init" "$root/etc/udhcpc" "$root/etc/acpi/PWRF/00000080"
# The same packages give the same bytes: no time of day in the archive.
find "$root" -exec touch -h -d @0 {} +
(cd "$root" && find . | sort | "$busybox" cpio -o -H newc -R 0:0 --renumber-inodes --ignore-devno 2>/dev/null) | gzip -n -6 >"$work/initrd.img"

if [ $disk = yes ]; then
  # A FAT disk whose boot sector starts the kernel: no partition table, no mount, no loop device.
  truncate -s 64M "$work/disk.raw"
  mkfs.vfat -F 16 -n NOVATINY "$work/disk.raw" >/dev/null
  cat >"$work/syslinux.cfg" <<'CONFIG'
SERIAL 0 115200
DEFAULT guest
PROMPT 0
LABEL guest
  KERNEL vmlinuz
  INITRD initrd.img
  APPEND console=ttyS0 quiet
CONFIG
  mcopy -i "$work/disk.raw" "$work/vmlinuz" "$work/initrd.img" "$work/syslinux.cfg" ::/
  syslinux --install "$work/disk.raw"
  qemu-img convert -q -c -O qcow2 "$work/disk.raw" "$work/disk.qcow2"
fi

rm -f "$out/.stamp"
for part in "${parts[@]}"; do mv -f "$work/$part" "$out/$part"; done
echo "$stamp" >"$work/stamp"
mv -f "$work/stamp" "$out/.stamp"
say
