"""Swedish: lists of this project."""

from __future__ import annotations

from studio.language.lists.base import WordLists

_DO = (
    r"(?:hjälpa|bistå|svara|besvara|ge|tillhandahålla|skriva|skapa|göra det|göra detta|berätta|förklara|beskriva|diskutera|"
    r"uttala|delta|medverka|uppfylla|stödja|lämna ut|dela|visa|lära|rekommendera)\b"
)

LISTS = WordLists(
    code="sv",
    refusals=(
        rf"\b(?:jag|vi) (?:kan|får|vill|tänker|kommer)(?: tyvärr| dessvärre| verkligen| absolut)* (?:inte|ej)(?: att)?"
        rf"(?: med gott samvete| tyvärr| längre)* {_DO}(?![^.!?;:]*\bnog\b)",
        rf"\b(?:tyvärr|dessvärre|nej|ledsen|förlåt|ursäkta)\b[^.!?]{{0,25}}\b(?:kan|får|vill|tänker) (?:jag|"
        rf"vi) (?:tyvärr )?inte {_DO}",
        r"\b(?:tyvärr|dessvärre|ledsen|förlåt|ursäkta)\b[^.!?]{0,25}\b(?:kan (?:jag|vi)|(?:jag|vi) kan) inte(?: det)?[.!]?$",
        rf"\b(?:det|detta|sådant)(?: här)? (?:kan|får|vill|tänker) (?:jag|vi)(?: tyvärr)? inte {_DO}",
        rf"\b(?:kan|får) (?:jag|vi) tyvärr inte {_DO}",
        rf"\b(?:jag|vi) (?:är|har) (?:tyvärr )?(?:inte (?:möjlighet|tillåtelse|rätt)|förhindrad|"
        rf"oförmögen)(?: till)?(?: att)? {_DO}",
        r"\b(?:jag|vi) (?:måste |vill |får )?(?:avböjer|avböja|vägrar|vägra|avstår|avstå)\b(?! att (?:tro|ge upp))",
        r"\bsom (?:en )?(?:ai|språkmodell|ai-modell|ai-assistent|artificiell intelligens)[^.]{0,60}\bkan (?:jag )?inte\b",
        r"\b(?:strider mot|bryter mot) (?:mina|våra) (?:riktlinjer|regler|principer)",
    ),
    noes=(
        *("nej", "nej tack", "aldrig", "absolut inte", "verkligen inte", "nej, tyvärr", "tyvärr inte", "tyvärr, nej"),
        *("jag vägrar",),
    ),
    yes_no=(
        r"^(?:och |men |så |eller )?(?:är|får|kan|ska|skall|har|måste|bör|vill|gör|går|finns|behöver|kommer|var|hade|skulle|"
        r"brukar|"
        r"blir|gäller|krävs|kunde)\b"
    ),
    toxic=(
        *("idiot*", "jävel", "jäveln", "jävlar", "jävla", "jävlig*", "fitta*", "fittor*", "kuksugare*", "hora"),
        *("horan", "horor*"),
        *("horunge*", "luder", "ludret", "luderna", "bögjävel*", "svartskalle*", "blatte*", "neger", "negern", "negrer*"),
        *("dumskalle*", "dumhuvud*", "puckad*", "skitstövel*", "arsle*", "rövhål*", "knulla*", "efterbliven"),
        *("efterblivna", "äckelpotta*", "slyna*", "subba", "subban", "subbor*", "cp-skadad*", "pucko*", "mähä*", "tönt*"),
    ),
    toxic_phrases=(
        r"(?:dra|far|fara|stick|åk) åt helvete",
        r"håll (?:käften|truten)",
        r"fan ta (?:dig|er|dem)",
        r"(?:jag|vi) (?:ska|skall|kommer att|vill) (?:döda|mörda|slå ihjäl|slå ner|våldta|skjuta) (?:dig|er|dem|honom|henne)",
        r"(?:du|ni|de|han|hon) (?:borde|förtjänar att|ska) (?:dö|dödas|skjutas|hängas)",
        r"(?:gå och dö|ta livet av dig|döda dig själv)",
        r"åk (?:hem|tillbaka) (?:till (?:ditt|deras|sitt) (?:eget )?land|dit du kom)",
        r"(?:du|ni|de|han|hon|invandrare|invandrarna|flyktingar|muslimer|judar|kvinnor|män) är (?:så |helt |bara |ett |en |"
        r"riktigt |jätte)*"
        r"(?:dum|dumma|korkad|korkade|värdelös|värdelösa|avskum|ohyra|svin|äcklig|äckliga|djur|parasiter|kackerlackor|sopor)\b",
        r"(?:ditt|din|era|jävla|dumma) (?:dumma |äckliga |feta |gamla |lata )*(?:svin|avskum|ko\b|kärring|gris\b|as\b|åsna|"
        r"äckel)",
    ),
    good=(
        *("bra", "bäst", "bästa", "bättre", "fin", "fint", "fina", "underbar*", "fantastisk*", "utmärk*"),
        *("härlig*", "trevlig*"),
        *("glad*", "lycklig*", "nöjd*", "vacker*", "vackert", "vackra", "snäll*", "vänlig*", "ärlig*"),
        *("hjälpsam*", "skicklig*"),
        *("duktig*", "smart*", "klok*", "pålitlig*", "trygg*", "säker*", "älskar", "älska", "älskad*", "gillar"),
        *("tycker om", "tack"),
        *("tackar", "gratulerar", "grattis", "succé*", "lyckad*", "lyckat", "lyckas", "framgång*", "rolig*", "kul"),
        *("skön*", "spännande"),
        *("imponerande", "perfekt*", "superb*", "förträfflig*", "generös*", "omtänksam*", "kärlek*", "hoppfull*"),
        *("stolt*", "uppskatta*"),
        *("rekommenderar", "välkommen*", "begåvad*", "hederlig*", "varm*", "positiv*", "strålande", "charmig*", "kompetent*"),
    ),
    bad=(
        *("dålig*", "sämst*", "sämre", "hemsk*", "fruktansvär*", "förfärlig*", "ryslig*", "usel", "uselt", "usla", "vidrig*"),
        *("äcklig*", "otrevlig*", "elak*", "ond", "ont", "onda", "dum", "dumt", "dumma", "ful", "fult", "fula"),
        *("ledsen*", "ledsamt"),
        *("arg*", "rädd*", "rädsla", "hat*", "hatar", "avskyr", "farlig*", "lat", "lata", "oärlig*"),
        *("opålitlig*", "brottslig*"),
        *("kriminell*", "våld*", "misslyckad*", "misslyckat", "misslyckas", "misslyckande*", "katastrof*", "problem*"),
        *("smärta*", "sorg*", "tråkig*"),
        *("värdelös*", "värdelöst", "skam*", "skyldig*", "svag*", "sjuk*", "död*", "lider", "lidande", "förlust*", "negativ*"),
        *("oroande", "orolig*", "besviken", "besvikna", "besvikelse*", "irriterande", "pinsam*", "grym*", "hotfull*", "hot"),
        *("inkompetent*", "misstänkt*", "bedrägeri*", "bedragare", "stulen", "stjäl*", "avskyvär*", "gräslig*", "eländ*"),
    ),
    negations=("inte", "ej", "icke", "aldrig", "ingen", "inget", "inga", "knappast", "utan"),
    openings=(
        r"(?:visst|självklart|absolut|javisst|gärna|naturligtvis)[!.,] (?:här (?:är|kommer|följer)\b[^.!?:\n]{0,120}[:.!](?=\s))",
        r"(?:visst|självklart|absolut|javisst|gärna|naturligtvis|inga problem|okej)[!.](?=\s)",
        r"(?:det (?:är|var) )?(?:en )?(?:mycket )?(?:bra|jättebra|utmärkt|intressant) fråga[!.](?=\s)",
        r"jag hjälper (?:dig|er|gärna)[^.!?\n]{0,60}[.!](?=\s)",
        r"tack för (?:din|er) (?:fråga|förfrågan)[.!](?=\s)",
        r"som (?:en )?(?:ai|artificiell intelligens|(?:stor )?språkmodell|ai-assistent|ai-modell),(?=\s)",
    ),
    function_words=("och", "att", "det", "i", "en", "ett", "är", "som", "på", "för", "av", "med", "den", "inte"),
)  # fmt: skip
