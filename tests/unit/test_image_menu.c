/* SPDX-License-Identifier: Apache-2.0 */
/* What the boot loaders of PCs would start, by menus in the style of the tools that write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/initramfs_priv.h"
#include "image/menu_priv.h"

static menu_t menu;

/* The beginning that grub-mkconfig's 00_header writes on Debian and Ubuntu; the default follows from grubenv. */
#define HEADER                                                                                                               \
    "if [ -s $prefix/grubenv ]; then\n  set have_grubenv=true\n  load_env\nfi\n"                                             \
    "if [ \"${next_entry}\" ] ; then\n   set default=\"${next_entry}\"\n   set next_entry=\n   save_env next_entry\n"        \
    "   set boot_once=true\nelse\n   set default=\"${saved_entry}\"\nfi\n"                                                   \
    "if [ x\"${feature_menuentry_id}\" = xy ]; then\n  menuentry_id_option=\"--id\"\nelse\n  menuentry_id_option=\"\"\nfi\n" \
    "export menuentry_id_option\n"                                                                                           \
    "function load_video {\n  if [ x$feature_all_video_module = xy ]; then\n    insmod all_video\n  else\n    insmod efi_gop\n  fi\n}\n"

#define DEBIAN                                                                                               \
    HEADER                                                                                                   \
    "menuentry 'Debian GNU/Linux' --class debian --class os $menuentry_id_option 'gnulinux-simple-1' {\n"    \
    "\tload_video\n\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi\n"                   \
    "\tsearch --no-floppy --fs-uuid --set=root 1\n\techo\t'Loading Linux 6.1.0-2 ...'\n"                     \
    "\tlinux\t/vmlinuz-6.1.0-2 root=/dev/mapper/pc--vg-root ro  quiet\n\tinitrd\t/initrd.img-6.1.0-2\n}\n"   \
    "submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'advanced-1' {\n"                  \
    "\tmenuentry 'Debian, with Linux 6.1.0-2' --class debian $menuentry_id_option 'adv-2' {\n"               \
    "\t\tlinux\t/vmlinuz-6.1.0-2 root=/dev/x ro\n\t\tinitrd\t/initrd.img-6.1.0-2\n\t}\n"                     \
    "\tmenuentry 'Debian, with Linux 6.1.0-1' --class debian $menuentry_id_option 'adv-1' {\n"               \
    "\t\tlinux\t/vmlinuz-6.1.0-1 root=/dev/x ro\n\t\tinitrd\t/initrd.img-6.1.0-1\n\t}\n}\n"                  \
    "menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {\n\tfwsetup\n}\n"

/* Ubuntu's 10_linux: functions, recordfail, a kernel on the root's own file system. */
#define UBUNTU                                                                                                                      \
    HEADER                                                                                                                          \
    "function gfxmode {\n\tset gfxpayload=\"${1}\"\n\tif [ \"${1}\" = \"keep\" ]; then\n\t\tset vt_handoff=vt.handoff=7\n\tfi\n}\n" \
    "if [ \"${recordfail}\" != 1 ]; then\n  set linux_gfx_mode=keep\nelse\n  set linux_gfx_mode=text\nfi\n"                         \
    "menuentry 'Ubuntu' --class ubuntu $menuentry_id_option 'gnulinux-simple-2' {\n\trecordfail\n"                                  \
    "\tgfxmode $linux_gfx_mode\n\tlinux\t/boot/vmlinuz-6.8.0-31-generic root=/dev/mapper/v ro  quiet splash $vt_handoff\n"          \
    "\tinitrd\t/boot/initrd.img-6.8.0-31-generic\n}\n"

/* Fedora's and RHEL's: the entries are those of grubby below /loader/entries. */
#define FEDORA                                                                                                                         \
    "if [ -f ${config_directory}/grubenv ]; then\n  load_env -f ${config_directory}/grubenv\nelif [ -s $prefix/grubenv ]; then\n"      \
    "  load_env\nfi\nif [ \"${next_entry}\" ] ; then\n   set default=\"${next_entry}\"\nelse\n   set default=\"${saved_entry}\"\nfi\n" \
    "insmod blscfg\nblscfg\nif [ \"$grub_platform\" = \"efi\" ]; then\n"                                                               \
    "\tmenuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {\n\t\tfwsetup\n\t}\nfi\n"

/* openSUSE's: linux and initrd with the subvolume's path, quoted options. */
#define SUSE                                                                                                   \
    "set btrfs_relative_path=\"y\"\n" HEADER                                                                   \
    "menuentry 'openSUSE Leap 15.6'  --class opensuse --class os $menuentry_id_option 'gnulinux-simple-3' {\n" \
    "\tlinux\t${extra_cmdline} ($root)/boot/vmlinuz-6.4.0 root=UUID=3  \"dyndbg=module usb +p\" splash=silent\n"

#define ARCH                                                                                                 \
    HEADER "menuentry 'Arch Linux' --class arch $menuentry_id_option 'gnulinux-simple-4' {\n"                \
           "\tlinux\t/vmlinuz-linux root=/dev/mapper/root rw cryptdevice=UUID=4:root \\\n\t  loglevel=3\n"   \
           "\tinitrd\t/intel-ucode.img /initramfs-linux.img\n}\n"

static void read_grub(const char *environment, const char *config)
{
    menu_clear(&menu);
    menu_read_environment(&menu, environment, strlen(environment));
    menu_read_grub(&menu, config, strlen(config));
}

static const struct {
    const char *environment;
    const char *config;
    const char *kernel; /* NULL: nothing that can be started */
    const char *initrd; /* the last one */
    const char *options;
} grubs[] = {
    {"", DEBIAN, "/vmlinuz-6.1.0-2", "/initrd.img-6.1.0-2", "root=/dev/mapper/pc--vg-root ro quiet"},
    {"saved_entry=gnulinux-simple-1\n", DEBIAN, "/vmlinuz-6.1.0-2", "/initrd.img-6.1.0-2",
     "root=/dev/mapper/pc--vg-root ro quiet"},
    {"saved_entry=advanced-1>adv-1\n", DEBIAN, "/vmlinuz-6.1.0-1", "/initrd.img-6.1.0-1", "root=/dev/x ro"},
    {"saved_entry=1>1\n", DEBIAN, "/vmlinuz-6.1.0-1", "/initrd.img-6.1.0-1", "root=/dev/x ro"},
    {"saved_entry=1\n", DEBIAN, "/vmlinuz-6.1.0-2", "/initrd.img-6.1.0-2", "root=/dev/x ro"},
    {"saved_entry=Debian, with Linux 6.1.0-1\n", DEBIAN, "/vmlinuz-6.1.0-2", "/initrd.img-6.1.0-2",
     "root=/dev/mapper/pc--vg-root ro quiet"},
    {"saved_entry=uefi-firmware\n", DEBIAN, NULL, NULL, NULL},
    {"saved_entry=no-such-entry\n", DEBIAN, "/vmlinuz-6.1.0-2", "/initrd.img-6.1.0-2",
     "root=/dev/mapper/pc--vg-root ro quiet"},
    /* the boot loader's own use of it is not ours */
    {"saved_entry=1>1\nnext_entry=0\n", DEBIAN, "/vmlinuz-6.1.0-1", "/initrd.img-6.1.0-1", "root=/dev/x ro"},
    {"# GRUB Environment Block\n####", UBUNTU, "/boot/vmlinuz-6.8.0-31-generic",
     "/boot/initrd.img-6.8.0-31-generic", "root=/dev/mapper/v ro quiet splash"},
    {"", ARCH, "/vmlinuz-linux", "/initramfs-linux.img",
     "root=/dev/mapper/root rw cryptdevice=UUID=4:root loglevel=3"},
    {"", SUSE "\tinitrd\t/boot/initrd-6.4.0\n}\n", "/boot/vmlinuz-6.4.0", "/boot/initrd-6.4.0",
     "root=UUID=3 \"dyndbg=module usb +p\" splash=silent"},
    {"", "menuentry 'Windows' {\n chainloader /x\n}\n", NULL, NULL, NULL},
    {"", "", NULL, NULL, NULL},
};

static void test_grub_menus(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(grubs) / sizeof(grubs[0]); i++) {
        const menu_entry_t *entry = NULL;

        read_grub(grubs[i].environment, grubs[i].config);
        entry = menu_default(&menu);
        if (grubs[i].kernel == NULL) {
            assert_null(entry);
            continue;
        }
        assert_non_null(entry);
        assert_string_equal(entry->kernel, grubs[i].kernel);
        assert_true(entry->initrds > 0);
        assert_string_equal(entry->initrd[entry->initrds - 1], grubs[i].initrd);
        assert_string_equal(entry->options, grubs[i].options);
    }
}

static void add_entry(const char *name, const char *content)
{
    menu_read_entry(&menu, name, content, strlen(content));
}

static void read_fedora(const char *environment)
{
    read_grub(environment, FEDORA);
    assert_true(menu.entries_elsewhere);
    menu.count = 0;
    add_entry("0f1e-6.9.5-200.fc40.conf",
              "title Fedora 6.9.5\nversion 6.9.5\nlinux /vmlinuz-6.9.5\n"
              "initrd /initramfs-6.9.5.img $tuned_initrd\noptions $kernelopts $tuned_params\n");
    add_entry("0f1e-6.10.1-200.fc40.conf",
              "title Fedora 6.10.1\nversion 6.10.1\nlinux /vmlinuz-6.10.1\n"
              "initrd /initramfs-6.10.1.img\noptions root=/dev/x ro rd.luks.uuid=luks-1\n"
              "grub_class fedora\n");
    add_entry("0f1e-0-rescue.conf",
              "title Fedora rescue\nversion 0-rescue\nlinux /vmlinuz-0-rescue\ninitrd /initramfs-0.img\n");
    menu_sort(&menu, 0, 1);
    menu_read_grub(&menu, FEDORA, strlen(FEDORA));
}

static void test_entries_of_grub(void **state)
{
    (void)state;
    read_fedora("");
    assert_string_equal(menu_default(&menu)->kernel, "/vmlinuz-6.10.1");
    assert_string_equal(menu_default(&menu)->options, "root=/dev/x ro rd.luks.uuid=luks-1");
    read_fedora("saved_entry=0f1e-6.9.5-200.fc40\nkernelopts=root=/dev/y ro quiet\n");
    assert_string_equal(menu_default(&menu)->kernel, "/vmlinuz-6.9.5");
    assert_string_equal(menu_default(&menu)->options, "root=/dev/y ro quiet");
    assert_int_equal(menu_default(&menu)->initrds, 1);
    read_fedora("saved_entry=1\n");
    assert_string_equal(menu_default(&menu)->kernel, "/vmlinuz-6.9.5");
}

static void read_loader(const char *config)
{
    menu_clear(&menu);
    menu_read_loader(&menu, config, strlen(config));
    add_entry("arch-fallback.conf",
              "title Arch\nlinux /vmlinuz-linux\ninitrd /initramfs-linux-fallback.img\noptions a\n");
    add_entry("arch.conf", "# by hand\r\n\ttitle   Arch\r\nlinux\t/vmlinuz-linux\r\ninitrd /amd-ucode.img\r\n"
                           "initrd /initramfs-linux.img\r\noptions rd.luks.name=1=root\r\noptions rw\r\n");
    add_entry("m-6.6.1.conf",
              "sort-key debian\nmachine-id m\nversion 6.6.1\nlinux /m/6.6.1/linux\ninitrd /m/6.6.1/initrd\n");
    add_entry("m-6.6.10.conf", "sort-key debian\nmachine-id m\nversion 6.6.10\nlinux /m/6.6.10/linux\n");
    add_entry("m-6.7~rc1+0-3.conf", "sort-key debian\nmachine-id m\nversion 6.7~rc1\nlinux /m/6.7/linux\n");
    add_entry("only.conf.bak", "linux /no\n");
    menu_sort(&menu, 0, 0);
}

static void test_entries_of_systemd_boot(void **state)
{
    (void)state;
    read_loader("timeout 3\n#default x\n");
    assert_string_equal(menu_loader_default(&menu)->kernel, "/m/6.6.10/linux");
    read_loader("default arch.conf\n");
    assert_string_equal(menu_loader_default(&menu)->id, "arch");
    assert_int_equal(menu_loader_default(&menu)->initrds, 2);
    assert_string_equal(menu_loader_default(&menu)->options, "rd.luks.name=1=root rw");
    read_loader("default m-6.6.1*\n");
    assert_string_equal(menu_loader_default(&menu)->kernel, "/m/6.6.10/linux");
    read_loader("default m-6.7*\n"); /* its tries are used up */
    assert_string_equal(menu_loader_default(&menu)->kernel, "/m/6.6.10/linux");
}

static void test_versions(void **state)
{
    static const char *const rising[] = {"",     "1~rc1", "1", "1-2",   "1.0",  "1.2",
                                         "1.10", "2~rc1", "2", "6.9.5", "6.10", "6.10.1"};

    (void)state;
    for (size_t i = 0; i + 1 < sizeof(rising) / sizeof(rising[0]); i++) {
        if (i != 0) { /* "~" is before the end, too */
            assert_true(menu_compare_versions(rising[i], rising[i + 1]) < 0);
            assert_true(menu_compare_versions(rising[i + 1], rising[i]) > 0);
        }
        assert_int_equal(menu_compare_versions(rising[i], rising[i]), 0);
    }
}

/* What is over a limit is not started in part. */
static void test_limits(void **state)
{
    static char config[40000];
    static char words[MENU_OPTIONS_MAX + 1];

    (void)state;
    memset(words, 'a', sizeof(words) - 1);
    snprintf(config, sizeof(config), "menuentry x {\nlinux /vmlinuz %s\ninitrd /i\n}\n", words);
    read_grub("", config);
    assert_null(menu_default(&menu));
    for (size_t i = 0; i + 1 < 400; i += 2) {
        words[i] = ' ';
    }
    words[400] = '\0';
    snprintf(config, sizeof(config), "menuentry x {\nlinux /vmlinuz %s\ninitrd /i\n}\n", words);
    read_grub("", config);
    assert_null(menu_default(&menu));
    read_grub("", "menuentry x {\nlinux /v\ninitrd /1 /2 /3 /4 /5\n}\n");
    assert_null(menu_default(&menu));
    for (size_t i = 0; i + 5 < sizeof(config); i += 5) {
        memcpy(config + i, "if 1\n", 6);
    }
    read_grub("", config);
    assert_null(menu_default(&menu));
}

/* ---- what is put behind the initramfs */

static initramfs_t archive;
static char options[MENU_OPTIONS_MAX];
static const image_volume_t volumes[] = {
    {"/dev/sda3", "uuid-1", 1}, {"/dev/sdb1", "uuid-2", 0}, {"/dev/sdc1", "uuid-3", 1}};

static int give(const char *command_line)
{
    image_passphrase_t passphrase = {"correct horse", 13};

    snprintf(options, sizeof(options), "%s", command_line);
    return initramfs_give(&archive, options, sizeof(options), volumes, 3, &passphrase);
}

/* The content of a file of the archive, NULL: it has none; `*length` its bytes. */
static const char *find_file(const char *name, unsigned *length)
{
    size_t at = 0;

    while (at + 110 < archive.used) {
        const char *header = (const char *)archive.bytes + at;
        char number[9] = "";
        unsigned size;
        unsigned name_size;

        assert_memory_equal(header, "070701", 6);
        memcpy(number, header + 54, 8);
        size = (unsigned)strtoul(number, NULL, 16);
        memcpy(number, header + 94, 8);
        name_size = (unsigned)strtoul(number, NULL, 16);
        at += ((size_t)110 + name_size + 3) / 4 * 4;
        if (strcmp(header + 110, name) == 0) {
            *length = size;
            return (const char *)archive.bytes + at;
        }
        at += ((size_t)size + 3) / 4 * 4;
    }
    return NULL;
}

static void assert_key(const char *name)
{
    unsigned length = 0;
    const char *content = find_file(name, &length);

    assert_non_null(content);
    assert_int_equal(length, 13);
    assert_memory_equal(content, "correct horse", 13);
    assert_null(strstr(options, "correct horse"));
}

static void test_what_initramfs_tools_gets(void **state)
{
    unsigned length = 0;

    (void)state;
    assert_int_equal(give("root=/dev/mapper/sda3_crypt ro quiet"), 0);
    assert_string_equal(options, "root=/dev/mapper/sda3_crypt ro quiet");
    assert_key("cryptroot/amtunlock-uuid-1.key");
    assert_key("cryptroot/amtunlock-uuid-3.key");
    assert_null(find_file("cryptroot/amtunlock-uuid-2.key", &length));
    assert_key("etc/cryptsetup-keys.d/sda3_crypt.key");
    assert_non_null(find_file("lib/cryptsetup/askpass", &length));
    assert_null(find_file("lib", &length));
    assert_non_null(find_file("TRAILER!!!", &length));
    assert_int_equal(archive.used % 4, 0);
}

static void test_what_dracut_gets(void **state)
{
    unsigned length = 0;

    (void)state;
    assert_int_equal(give("root=/dev/x rd.luks.uuid=luks-uuid-1"), 0);
    assert_string_equal(options, "root=/dev/x rd.luks.uuid=luks-uuid-1 rd.luks.key=uuid-1=/amtunlock.key "
                                 "rd.luks.key=uuid-3=/amtunlock.key");
    assert_key("amtunlock.key");
    assert_null(find_file("lib/cryptsetup/askpass", &length));
    assert_int_equal(give("x=rd.luks.uuid"), 0); /* a part of another word */
    assert_string_equal(options, "x=rd.luks.uuid");
}

static void test_what_mkinitcpio_gets(void **state)
{
    (void)state;
    assert_int_equal(give("cryptdevice=UUID=uuid-1:root root=/dev/mapper/root"), 0);
    assert_string_equal(options,
                        "cryptdevice=UUID=uuid-1:root root=/dev/mapper/root cryptkey=rootfs:/amtunlock.key");
    assert_key("amtunlock.key");
}

static void test_a_command_line_that_is_full(void **state)
{
    static char full[MENU_OPTIONS_MAX - 32];
    static char line[MENU_OPTIONS_MAX];

    (void)state;
    memset(full, 'a', sizeof(full) - 1);
    snprintf(line, sizeof(line), "rd.luks.uuid=1 %s", full);
    assert_int_equal(give(line), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grub_menus),
        cmocka_unit_test(test_entries_of_grub),
        cmocka_unit_test(test_entries_of_systemd_boot),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_what_initramfs_tools_gets),
        cmocka_unit_test(test_what_dracut_gets),
        cmocka_unit_test(test_what_mkinitcpio_gets),
        cmocka_unit_test(test_a_command_line_that_is_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
