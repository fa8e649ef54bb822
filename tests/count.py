#!/usr/bin/env python3
"""Prints `N passed, N failed[, N skipped]` over all cases of the last `meson test`.

    count.py BUILD_DIRECTORY [PASSED FAILED]

A program that dies before it can report a failed case counts as one failed case, and so does a run
that never came about. The two numbers are added: what passed and failed elsewhere.
"""

import json
import sys
import xml.etree.ElementTree as xml
from pathlib import Path


def outcome(case):
    if case.find('failure') is not None or case.find('error') is not None:
        return 'failed'
    not_run = case.find('skipped') is not None or case.get('status') == 'notrun'
    return 'skipped' if not_run else 'passed'


def cases_of(suites, project, test):
    """The outcomes of the cases of a test; empty when it did not live to report any."""
    for suite in suites:
        name = suite.get('name')
        if name == f'{project}.{test}' or name.startswith(f'{project}.{test}.'):
            yield from map(outcome, suite.iter('testcase'))
        elif name == project:
            yield from (outcome(case) for case in suite.iter('testcase') if case.get('name') == test)


def count(logs):
    counts = {'passed': 0, 'failed': 0, 'skipped': 0}
    if not (logs / 'testlog.junit.xml').exists():
        return {**counts, 'failed': 1}
    suites = xml.parse(logs / 'testlog.junit.xml').getroot().findall('testsuite')
    for line in (logs / 'testlog.json').read_text(encoding='utf-8').splitlines():
        test = json.loads(line)
        outcomes = list(cases_of(suites, 'kvstore', test['name']))
        good = test['result'] in ('OK', 'EXPECTEDFAIL', 'SKIP')
        if not good and 'failed' not in outcomes:
            outcomes.append('failed')
        for each in outcomes:
            counts[each] += 1
    return counts


def main():
    counts = count(Path(sys.argv[1]) / 'meson-logs')
    for name, more in zip(('passed', 'failed'), sys.argv[2:]):
        counts[name] += int(more)
    line = f'{counts["passed"]} passed, {counts["failed"]} failed'
    if counts['skipped']:
        line += f', {counts["skipped"]} skipped'
    print(line)
    return 1 if counts['failed'] or not counts['passed'] else 0


if __name__ == '__main__':
    sys.exit(main())
