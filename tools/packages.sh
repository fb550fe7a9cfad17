# Debian packages, in one place for the demo and for CI.
# shellcheck shell=bash disable=SC2034
NOVA_QEMU_PACKAGES=(qemu-system-x86 qemu-utils)
NOVA_TEST_PACKAGES=(openssl iproute2 util-linux python3-nova python3-oslo.messaging python3-pika strace tmux)
