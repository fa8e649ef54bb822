#!/usr/bin/env python3
"""Builds and runs strangers' projects against a fresh installation of the library.

    run.py shared|static WORK_DIRECTORY

Answers in TAP, one line a project. What is built in the work directory is kept, so that a second
run is quick; what is installed there is not.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SAID = {
    'notes': 'buy bread, call home, water the plants, 7 words',
    'settings': 'debug server 8081 nobody type_mismatch',
    'counter': 'visits/home=3 visits/about=1 3 of 2 pages',
}


class Failed(Exception):
    """What a project did wrong."""


def run(*command, env=None):
    """The output of a command; a failure carries all that it said."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, check=False)
    if done.returncode != 0:
        raise Failed(f'{" ".join(map(str, command))}: exit status {done.returncode}\n{done.stdout}')
    return done.stdout


def expect(condition, complaint):
    if not condition:
        raise Failed(complaint)


def fresh(directory):
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def meson_setup(source, build, *options):
    """Many files of ours in one, which strangers may ask for, too: that is built in a fifth of the
    time."""
    if not (build / 'build.ninja').exists():
        run('meson', 'setup', build, source, '--buildtype=plain', '-Dunity=on', '-Dunity_size=16',
            *options)


def meson_build(source, build, *options):
    """Configures where that was not done yet, and builds what is out of date."""
    meson_setup(source, build, *options)
    run('ninja', '-C', build)


class Installation:
    """The library, built as one kind and installed into a directory of its own."""

    def __init__(self, kind, work):
        self.kind = kind
        self.work = work
        self.prefix = work / 'prefix'

    def install(self):
        """Only the library is built: neither tests nor examples are what a stranger installs."""
        build = self.work / 'library'
        meson_setup(ROOT, build, '--libdir=lib/here', f'--prefix={self.work / "elsewhere"}',
                    f'-Ddefault_library={self.kind}', '-Dpkgconfig.relocatable=true')
        name = {'shared': 'libkvstore.so.1.0.0', 'static': 'libkvstore.a'}[self.kind]
        run('ninja', '-C', build, f'kvstore/{name}')
        # Moved after it was installed: nothing in it may remember its first place.
        elsewhere = fresh(self.work / 'elsewhere')
        run('meson', 'install', '-C', build, '--no-rebuild', '--tags', 'devel,runtime')
        shutil.rmtree(self.prefix, ignore_errors=True)
        elsewhere.rename(self.prefix)

    def check_files(self):
        """All public headers, one kind of library, two ways to find it; and nothing else."""
        expected = {f'include/kvstore/{header.name}' for header in (ROOT / 'kvstore').glob('*.hpp')}
        expected |= {'lib/here/pkgconfig/kvstore.pc',
                     'lib/here/cmake/kvstore/kvstore-config.cmake',
                     'lib/here/cmake/kvstore/kvstore-config-version.cmake'}
        libraries = {'shared': ['libkvstore.so', 'libkvstore.so.1', 'libkvstore.so.1.0.0'],
                     'static': ['libkvstore.a']}
        expected |= {f'lib/here/{name}' for name in libraries[self.kind]}
        found = {str(file.relative_to(self.prefix)) for file in self.prefix.rglob('*')
                 if not file.is_dir()}
        expect(found == expected, f'missing: {sorted(expected - found)}\n'
                                  f'not expected: {sorted(found - expected)}')
        for file in self.prefix.rglob('*'):
            if file.suffix in ('.pc', '.cmake'):
                expect(str(self.work) not in file.read_text(), f'{file.name} names a fixed place')

    def check_symbols(self):
        """The shared library shows its own names only, and brings no SQLite of its own."""
        shown = run('nm', '-D', '--defined-only', '-C', self.prefix / 'lib/here/libkvstore.so')
        for line in shown.splitlines():
            symbol = line.split(maxsplit=2)[2]
            expect(not symbol.startswith(('sqlite3', 'kvstore::internal', 'kvstore::engine')),
                   f'exported: {symbol}')

    def run_program(self, program):
        """Runs it on a new file, with no environment to help it find the library but the path."""
        with tempfile.TemporaryDirectory() as place:
            said = run(program, f'{place}/store.db',
                       env={'LD_LIBRARY_PATH': str(self.prefix / 'lib/here')}).strip()
        expect(said == SAID[program.name], f'said: {said}\nexpected: {SAID[program.name]}')
        linked = run('ldd', program)
        expect(('libkvstore.so' in linked) == (self.kind == 'shared'),
               f'not linked as {self.kind}:\n{linked}')


def pkg_config(installation):
    """Found by pkg-config."""
    build = fresh(installation.work / 'pkg_config')
    run(HERE / 'pkg_config' / 'build.sh', build,
        env={'PKG_CONFIG_PATH': str(installation.prefix / 'lib/here/pkgconfig')})
    installation.run_program(build / 'settings')


def cmake(installation):
    """Found by find_package."""
    build = fresh(installation.work / 'cmake')
    run('cmake', '-G', 'Ninja', '-S', HERE / 'cmake', '-B', build,
        f'-Dkvstore_DIR={installation.prefix / "lib/here/cmake/kvstore"}')
    run('cmake', '--build', build)
    installation.run_program(build / 'counter')


def subproject(installation):
    """Built with the stranger's project, which installs its own program and nothing of ours."""
    project = installation.work / 'subproject'
    source = project / 'source'
    if not source.exists():
        shutil.copytree(HERE / 'subproject', source)
        (source / 'subprojects').mkdir()
        (source / 'subprojects' / 'kvstore').symlink_to(ROOT)
    prefix = fresh(project / 'prefix')
    meson_build(source, project / 'build', f'--prefix={prefix}', '--force-fallback-for=kvstore',
                f'-Dkvstore:default_library={installation.kind}')
    targets = run('ninja', '-C', project / 'build', '-t', 'targets', 'all')
    for folder in ('tests', 'examples', 'bench'):
        expect(f'subprojects/kvstore/{folder}/' not in targets, f'{folder} are built, too')
    run('meson', 'install', '-C', project / 'build', '--no-rebuild')
    found = [str(file.relative_to(prefix)) for file in prefix.rglob('*') if not file.is_dir()]
    expect(found == ['bin/notes'], f'installed: {found}')
    installation.run_program(project / 'build' / 'notes')


def main():
    kind, work = sys.argv[1], Path(sys.argv[2]).resolve() / sys.argv[1]
    installation = Installation(kind, work)
    steps = [
        ('installs', installation.install),
        ('installs the public headers, the library, and how to find it', installation.check_files),
        ('is found by pkg-config', lambda: pkg_config(installation)),
        ('is found by CMake', lambda: cmake(installation)),
        ('is built as a Meson subproject', lambda: subproject(installation)),
    ]
    if kind == 'shared':
        steps.append(('shows its own names only', installation.check_symbols))
    print(f'1..{len(steps)}')
    for number, (what, step) in enumerate(steps, 1):
        try:
            step()
            print(f'ok {number} - {kind}: {what}', flush=True)
        except Failed as failure:
            print(f'not ok {number} - {kind}: {what}', flush=True)
            print(failure, file=sys.stderr)


if __name__ == '__main__':
    main()
