/**
 * Two skills, served by the SDK's skills extension: enough for every question the suite has about the extension.
 *
 * The first in order has a file in a folder of its own: the suite picks that one to read directories.
 */

import { SkillsExtension, memorySkillFiles } from '@modelcontextprotocol/server/ext/skills';

const manifest = (name, description, body) => `---\nname: ${name}\ndescription: ${description}\n---\n\n${body}\n`;

/** One catalog serves every server object of the process. */
export const skills = await SkillsExtension.load(
  memorySkillFiles({
    'reporting/SKILL.md': manifest('reporting', 'Write a report', 'Follow references/OUTLINE.md.'),
    'reporting/references/OUTLINE.md': '# Outline\n\nSummary, findings, next steps.\n',
    'welcoming/SKILL.md': manifest('welcoming', 'Welcome people by name', 'Say hello, then the name.'),
  }),
  { strict: true },
);
