"""The order of the house: which file may include which."""

import posixpath
import re
from pathlib import Path

TIERS = ['words', 'seam', 'engines', 'internal', 'facade', 'outside']
WORDS = {'api', 'change', 'entry', 'error', 'options', 'query', 'stats'}
SEAM = {'dialect', 'engine', 'fork_guard', 'function_ref', 'patience', 'staged_file', 'text'}
OUTSIDE = ('tests', 'bench', 'examples', 'kvstore/cli')
# Headers of the engines themselves, for the eyes of one tier only.
ENGINE_HEADERS = ('sqlite3', 'libpq', 'postgres')
# Statements are written in capitals; prose about them is not.
SQL = re.compile(r'\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|PRAGMA|BEGIN IMMEDIATE)\b')
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:<([^>]+)>|"([^"]+)")', re.MULTILINE)
COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/', re.DOTALL)


def tier(name):
    """The tier of a file, given by its path from the root; None for one that has no place."""
    if name.startswith(tuple(f'{folder}/' for folder in OUTSIDE)):
        return 'outside'
    folder, _, file = name.rpartition('/')
    stem = Path(file).stem
    if folder == 'kvstore':
        return 'words' if stem in WORDS else 'facade'
    if folder == 'kvstore/internal':
        return 'internal'
    if folder == 'kvstore/engine':
        if stem in SEAM:
            return 'seam'
        return 'engines' if stem.startswith(('sqlite', 'postgres')) else None
    return None


def is_public(name):
    return re.fullmatch(r'kvstore/[^/]+\.hpp', name) is not None


def sources(root):
    """Path from the root -> text, of all that is compiled."""
    found = {}
    for folder in ('kvstore', 'tests', 'bench', 'examples'):
        for file in sorted((root / folder).rglob('*')):
            if file.suffix in ('.hpp', '.cpp'):
                found[str(file.relative_to(root))] = file.read_text(encoding='utf-8')
    return found


def includes(name, files):
    """What a file includes: files of the house by their path from the root, others as written."""
    for match in INCLUDE.finditer(files[name]):
        written = match.group(1) or match.group(2)
        beside = posixpath.normpath(posixpath.join(posixpath.dirname(name), written))
        yield beside if match.group(2) and beside in files else written


def direction(files):
    """Complaints about includes that point to a later tier, or to an engine from outside its own."""
    for name in files:
        own = tier(name)
        if own is None:
            yield f'{name}: has no tier; give it a place in the order'
            continue
        for included in includes(name, files):
            if included in files:
                other = tier(included)
                if other is not None and TIERS.index(other) > TIERS.index(own):
                    yield f'{name} ({own}) includes {included} ({other})'
                if name.startswith('examples/') and not (
                        is_public(included) or included.startswith('examples/')):
                    yield f'{name} (an example) includes {included}, which is not public'
            elif included.startswith('kvstore/'):
                yield f'{name} includes {included}, which is not there'
            elif included.startswith(ENGINE_HEADERS) and own not in ('engines', 'outside'):
                yield f'{name} ({own}) includes <{included}>'


def cycles(files):
    """Complaints about files that include each other, over however many steps."""
    done, path = set(), []

    def walk(name):
        if name in path:
            yield ' -> '.join(path[path.index(name):] + [name])
        elif name not in done:
            path.append(name)
            for included in includes(name, files):
                if included in files:
                    yield from walk(included)
            path.pop()
            done.add(name)

    for name in files:
        yield from walk(name)


def public_face(files):
    """Complaints about public headers that show more than the standard library and JSON."""
    for name in filter(is_public, files):
        for included in includes(name, files):
            standard = re.fullmatch(r'[a-z_]+', included)
            if not (standard or included == 'nlohmann/json.hpp' or is_public(included)):
                yield f'{name} (public) includes {included}'
        code = COMMENT.sub('', files[name])
        for word in re.findall(r'\b\w*(?:sqlite|libpq|PGconn|PGresult)\w*', code, re.IGNORECASE):
            yield f'{name} (public) shows the engine: {word}'
        for match in SQL.finditer(code):
            yield f'{name} (public) shows SQL: {match.group(0)}'
