import { quoted } from '../core/base/shell-word.ts'
import { type CompletedCommand, type CompletedFlag, nameLists, nextWords, type Takes } from './completion-model.ts'

/** How long a list of names may take while somebody waits after Tab. */
const patience = '--timeout 2'

const flagWords = (flag: CompletedFlag): string[] => [...(flag.short ? [`-${flag.short}`] : []), `--${flag.long}`]

/** The candidates of a place, as shell: words, a call for names, or the mark for files. */
function candidates(takes: Takes): string {
  if ('words' in takes) return `printf '%s\\n' ${takes.words.join(' ')}`
  if ('names' in takes) return `nova ${nameLists[takes.names]} ${patience} 2>/dev/null`
  return 'echo @files'
}

const cases = (rows: ReadonlyArray<readonly [string[], string]>): string =>
  rows.map(([patterns, body]) => `    ${patterns.map(quoted).join('|')}) ${body} ;;`).join('\n')

/** Shared by bash and zsh: `_nova_candidates WORD…` prints what can follow these words, one per line. */
function core(commands: readonly CompletedCommand[]): string {
  const next = nextWords(commands)
  const heads = [...new Set([...next.keys(), ...commands.map((c) => c.words)])].filter(Boolean)
  const values = commands.flatMap((c) =>
    c.flags.flatMap((flag): Array<readonly [string[], string]> => {
      if (!flag.takesValue) return []
      return [[flagWords(flag).map((word) => `${c.words} ${word}`), flag.value ? candidates(flag.value) : ':']]
    }),
  )
  return `_nova_candidates() {
  local command= word previous= typed
  for word in "$@"; do
    previous=$word
    case "$word" in -*) continue ;; esac
    typed="\${command:+$command }$word"
    case "$typed" in
      ${heads.map(quoted).join('|')}) command=$typed ;;
    esac
  done
  case "$command $previous" in
${cases(values)}
    *) _nova_words "$command" ;;
  esac
}
_nova_words() {
  case "$1" in
${cases([...next].map(([before, words]) => [[before], `printf '%s\\n' ${words.join(' ')}`]))}
  esac
  case "$1" in
${cases(commands.flatMap((c) => (c.argument ? [[[c.words], candidates(c.argument)] as const] : [])))}
  esac
  case "$1" in
${cases(commands.map((c) => [[c.words], `printf '%s\\n' ${c.flags.flatMap(flagWords).join(' ')} --help`]))}
  esac
}
`
}

export const bashScript = (commands: readonly CompletedCommand[]): string => `# nova completion for bash.
${core(commands)}_nova() {
  local current=\${COMP_WORDS[COMP_CWORD]} found
  found=$(_nova_candidates "\${COMP_WORDS[@]:1:COMP_CWORD-1}")
  COMPREPLY=()
  if [ "$found" = @files ]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$current")
    return
  fi
  # Flags are offered where one was begun, or where nothing else can stand.
  case "$current" in -*) ;; *) case "$found" in *$'\\n'[!-]*|[!-]*) found=$(printf '%s\\n' "$found" | grep -v '^-') ;; esac ;; esac
  while IFS= read -r word; do
    [[ -n $word && $word == "$current"* ]] && COMPREPLY+=("$(printf '%q' "$word")")
  done <<< "$found"
}
complete -F _nova nova
`

export const zshScript = (commands: readonly CompletedCommand[]): string => `#compdef nova
# nova completion for zsh.
${core(commands)}_nova() {
  local -a found
  found=("\${(@f)$(_nova_candidates "\${(@)words[2,CURRENT-1]}")}")
  if [[ "$found" == @files ]]; then _files; return; fi
  [[ "$PREFIX" == -* ]] || { local -a plain; plain=("\${(@)found:#-*}"); [[ -n "$plain" ]] && found=("\${plain[@]}") }
  compadd -- "\${found[@]}"
}
if [[ "$funcstack[1]" == _nova ]]; then _nova "$@"; else compdef _nova nova; fi
`

export function fishScript(commands: readonly CompletedCommand[]): string {
  const next = nextWords(commands)
  const summaries = new Map(commands.map((c) => [c.words, c.summary]))
  const heads = [...new Set([...next.keys(), ...commands.map((c) => c.words)])].filter(Boolean)
  const text = (words: string): string => `'${words.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  const at = (words: string): string => `complete -c nova -n ${text(`__nova_at "${words}"`)}`
  const offer = (takes: Takes | undefined): string => {
    if (!takes) return ''
    if ('words' in takes) return ` -a ${text(takes.words.join(' '))}`
    return 'names' in takes ? ` -a ${text(`(nova ${nameLists[takes.names]} ${patience} 2>/dev/null)`)}` : ' -F'
  }
  const words = [...next].flatMap(([before, list]) =>
    list.map((word) => {
      const summary = summaries.get(before ? `${before} ${word}` : word)
      return `${at(before)} -a ${word}${summary ? ` -d ${text(summary)}` : ''}`
    }),
  )
  const flags = commands.flatMap((c) =>
    c.flags.map((flag) => {
      const value = flag.takesValue ? ` -x${offer(flag.value)}`.replace(' -x -F', ' -r -F') : ''
      return `${at(c.words)} -l ${flag.long}${flag.short ? ` -s ${flag.short}` : ''}${value} -d ${text(flag.summary)}`
    }),
  )
  const args = commands.filter((c) => c.argument).map((c) => `${at(c.words)}${offer(c.argument)}`)
  return `# nova completion for fish.
set -g __nova_heads ${heads.map(text).join(' ')}
function __nova_at
  set -l command
  for word in (commandline -opc)[2..-1]
    string match -q -- '-*' $word; and continue
    set -l typed (string join ' ' $command $word)
    contains -- $typed $__nova_heads; and set command $typed
  end
  test "$command" = "$argv[1]"
end
complete -c nova -f
${[...words, ...flags, ...args].join('\n')}
`
}
