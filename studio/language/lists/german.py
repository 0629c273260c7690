"""German: lists of this project."""

from __future__ import annotations

from studio.language.lists.base import WordLists

_DO = (
    r"(?:helfen|weiterhelfen|behilflich sein|unterstützen|beantworten|antworten|geben|bereitstellen|anbieten|schreiben|"
    r"verfassen|"
    r"erstellen|tun|machen|erklären|beschreiben|nennen|mitteilen|sagen|besprechen|diskutieren|erfüllen|entsprechen|teilnehmen|"
    r"mitwirken|zeigen|beibringen|empfehlen|weitergeben|nachkommen|liefern)\b"
)
_MID = r"(?:[^.!?;:]{0,70}? )?"

LISTS = WordLists(
    code="de",
    refusals=(
        rf"\b(?:ich|wir) (?:kann|können|werde|werden|darf|dürfen|will|wollen|möchte|möchten) {_MID}(?:nicht|keine|keinen|"
        rf"kein) {_MID}{_DO}"
        r"(?<!nicht genug empfehlen)(?<!nicht oft genug sagen)",
        rf"\b(?:kann|können|werde|darf|will|möchte) (?:ich|wir) {_MID}(?:nicht|keine|keinen|kein) {_MID}{_DO}"
        r"(?<!nicht genug empfehlen)(?<!nicht oft genug sagen)",
        r"\b(?:leider|tut mir leid|bedaure|entschuldigung)\b[^.!?]{0,30}\b(?:kann ich|ich kann)(?: das| dies)? nicht[.!]?$",
        r"\b(?:ich|wir) (?:bin|sind) (?:leider )?nicht (?:in der lage|befugt|berechtigt|imstande)\b",
        r"\b(?:ich|wir) (?:muss |müssen |werde )?(?:das |dies |diese anfrage )?(?:leider )?(?:ablehnen|lehne (?:das |dies |"
        r"es )?ab|"
        r"lehnen (?:das |dies |es )?ab|verweigere|weigere mich|weigern uns)\b(?!,? (?:zu glauben|aufzugeben))",
        r"\bals (?:eine? )?(?:ki|ki-modell|ki-assistent|künstliche intelligenz|sprachmodell)[^.]{0,60}\b(?:kann|darf|"
        r"werde) (?:ich )?"
        r"[^.]{0,40}\b(?:nicht|keine|keinen)\b",
        r"\b(?:verstößt|verstoßen) gegen (?:meine|unsere) (?:richtlinien|regeln|grundsätze)",
        r"\bdabei kann ich\b[^.!?]{0,30}\bnicht\b",
    ),
    noes=(
        *("nein", "nein danke", "niemals", "nie", "auf keinen fall", "sicher nicht", "leider nein", "nein, tut mir leid"),
        *("ich weigere mich",),
    ),
    yes_no=(
        r"^(?:und |aber |also |oder )?(?:ist|sind|bin|war|waren|darf|dürfen|kann|können|muss|müssen|soll|sollte|sollen|hat|"
        r"haben|habe|"
        r"wird|werden|würde|gibt|gilt|braucht|brauche|könnte|könnten|stimmt)\b"
    ),
    toxic=(
        *("idiot*", "vollidiot*", "arschloch", "arschlöcher*", "fotze*", "hurensohn", "hurensöhne", "hure"),
        *("huren", "schlampe*"),
        *("wichser*", "missgeburt*", "scheiße", "scheiß", "scheiss*", "drecksau", "drecksäue", "dreckskerl*"),
        *("trottel*", "depp"),
        *("deppen", "schwachkopf*", "spast", "spasti*", "kanake*", "kanacke*", "neger*", "schwuchtel*"),
        *("untermensch*", "ficken"),
        *("fick", "fickt", "gefickt", "verpiss*", "dummkopf", "dummköpfe", "hohlkopf", "blödmann", "miststück*", "penner"),
    ),
    toxic_phrases=(
        r"halt(?:'s| die| deine| dein) (?:maul|fresse|klappe)",
        r"fahr zur hölle",
        r"(?:ich|wir) (?:bringe|bringen|mache|steche|schlage) (?:dich|euch|sie|ihn) (?:um|tot|fertig|ab|kalt)",
        r"(?:ich|wir) (?:werde|werden) (?:dich|euch|sie|ihn) (?:töten|umbringen|erschießen|vergewaltigen|verprügeln)",
        r"(?:du|ihr|sie|er) (?:sollst|sollt|sollen|soll|verdienst|verdienen) (?:sterben|verrecken|zu sterben|den tod)",
        r"(?:geh (?:doch )?sterben|verrecke\b|bring dich um)",
        r"geh (?:zurück|heim) (?:in|nach) (?:dein|deine|ihr) (?:land|heimat)",
        r"(?:du|ihr|sie|er|ausländer|flüchtlinge|muslime|juden|frauen|männer) (?:bist|seid|sind|ist) (?:so |total |einfach |"
        r"alle |nur |ein |eine |echt )*"
        r"(?:dumm|blöd|doof|strohdumm|wertlos|abschaum|ungeziefer|dreck|schweine|parasiten|tiere|kakerlaken|behindert)\b",
        r"(?:du|ihr|blöde|blöder|dumme|dummer|dreckige|fette|faule) (?:dumme |dummer |blöde |fette |alte )*(?:sau|kuh|schwein|"
        r"schweine|ziege|bastard|"
        r"abschaum|ratte|affe)\b",
    ),
    good=(
        *("gut", "gute", "guter", "gutes", "guten", "besser*", "beste*", "toll*", "wunderbar*"),
        *("fantastisch*", "phantastisch*"),
        *("hervorragend*", "ausgezeichnet*", "großartig*", "schön", "schöne*", "schönes", "freundlich*", "nett*"),
        *("ehrlich*", "fleißig*"),
        *("hilfsbereit*", "zuverlässig*", "klug*", "intelligent*", "glücklich*", "froh*", "zufrieden*", "liebe"),
        *("lieben", "liebt"),
        *("liebevoll*", "mag", "gefällt", "danke", "dankbar*", "erfolg", "erfolge*", "erfolgreich*", "perfekt*"),
        *("sicher*", "spannend*"),
        *("begeistert*", "beeindruckend*", "talentiert*", "kompetent*", "angenehm*", "herzlich*", "stolz*"),
        *("empfehle", "willkommen"),
        *("positiv*", "großzügig*", "vertrauenswürdig*", "hoffnungsvoll*", "freude*", "freut", "glanz*"),
        *("sympathisch*", "super"),
    ),
    bad=(
        *("schlecht*", "schlimm*", "furchtbar*", "schrecklich*", "entsetzlich*", "grauenhaft*", "scheußlich*", "miserabel*"),
        *("hässlich*", "dumm", "dumme*", "böse*", "gemein*", "faul", "faule*", "unehrlich*", "unzuverlässig*", "gefährlich*"),
        *("kriminell*", "gewalt", "gewalttätig*", "traurig*", "wütend*", "ängstlich*", "angst", "hass", "hasse"),
        *("hassen", "hasst"),
        *("verachte*", "ekelhaft*", "eklig*", "widerlich*", "abscheulich*", "langweilig*", "nutzlos*", "wertlos*"),
        *("versagen*", "versagt*"),
        *("versager*", "katastroph*", "problem*", "schmerz*", "leid", "leiden", "leidet", "tod", "tot", "krank*", "schwach*"),
        *("schuld", "schuldig*", "schande", "verlust*", "betrug", "betrüger*", "diebstahl", "dieb", "gestohlen"),
        *("negativ*", "enttäuscht*"),
        *("enttäuschend*", "nervig*", "peinlich*", "grausam*", "bedrohlich*", "bedrohung*", "verdächtig*"),
        *("inkompetent*", "unfähig*"),
    ),
    negations=("nicht", "kein", "keine", "keinen", "keiner", "nie", "niemals", "kaum", "ohne"),
    openings=(
        r"(?:klar|natürlich|gerne?|selbstverständlich|sicher)(?: doch)?[!.,] (?:hier (?:ist|sind)\b[^.!?:\n]{0,120}[:.!](?=\s))",
        r"(?:klar|natürlich|gerne?|selbstverständlich|sicher|kein problem|verstanden)(?: doch)?[!.](?=\s)",
        r"(?:das ist )?(?:eine )?(?:sehr )?(?:gute|tolle|großartige|ausgezeichnete|interessante) frage[!.](?=\s)",
        r"(?:ich helfe (?:dir|ihnen) gerne?|gerne helfe ich)[^.!?\n]{0,60}[.!](?=\s)",
        r"(?:danke|vielen dank) für (?:deine|ihre|die) (?:frage|nachricht|anfrage)[.!](?=\s)",
        r"als (?:ki|künstliche intelligenz|(?:ki-|großes )?sprachmodell|ki-assistent),(?=\s)",
    ),
    function_words=("der", "die", "das", "und", "zu", "in", "ist", "nicht", "ein", "eine", "mit", "von", "den", "es"),
)  # fmt: skip
